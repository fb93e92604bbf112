// Package admin serves what an operator's tools need: liveness, readiness, metrics and the
// version. Nothing here changes anything or reveals users.
package admin

import (
	"encoding/json"
	"net/http"
)

// Check is one thing that readiness depends on.
type Check struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Detail string `json:"detail,omitempty"`
}

// Config holds what the pages show. All fields are required.
type Config struct {
	Ready   func() []Check
	Metrics http.Handler
	Version any // shown as JSON
}

// Handler serves /healthz, /readyz (with ?verbose its reasons as JSON), /metrics
// and /version, for GET and HEAD.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, c.Ready()) })
	mux.Handle("GET /metrics", c.Metrics)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, c.Version) })
	return mux
}

func ready(w http.ResponseWriter, r *http.Request, checks []Check) {
	status := http.StatusOK
	for _, c := range checks {
		if !c.Ready {
			status = http.StatusServiceUnavailable
		}
	}
	switch {
	case r.URL.Query().Has("verbose"):
		answer(w, status, map[string]any{"ready": status == http.StatusOK, "checks": checks})
	case status == http.StatusOK:
		text(w, status, "ready\n")
	default:
		text(w, status, "not ready; /readyz?verbose says why\n")
	}
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(s)) // a client that is gone needs no answer
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(v) // likewise
}
