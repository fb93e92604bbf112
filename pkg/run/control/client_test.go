package control_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// served runs h on a socket, and returns a client of it.
func served(t *testing.T, h http.Handler) *control.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	client, err := control.NewClient("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// shows returns a service with a candidate, unless it is told otherwise.
func shows(candidate bool, level http.Handler) http.Handler {
	return control.Handler(control.Config{
		Ring: control.NewRing(1), Level: level, Revocations: revocation.New(0, nil), Snapshot: func() any {
			return "r1"
		},
		Issuers: func() []control.Issuer { return nil },
		Revisions: func() []control.Revision {
			return []control.Revision{{Revision: "r2", InForce: true, From: "bundles"}, {Revision: "r1", From: "files"}}
		},
		Candidate: func() (divergence.Report, bool) {
			return divergence.Report{Revision: "next", Decisions: 7},
				candidate
		},
	})
}

// The socket shows the loaded policies, and what is known about a candidate; without a
// candidate there is nothing to show.
func TestWhatIsLoaded(t *testing.T) {
	client := served(t, shows(true, http.NotFoundHandler()))
	if list, err := client.Revisions(t.Context()); err != nil || len(list) != 2 || list[0].Revision != "r2" ||
		!list[0].InForce || list[1].InForce {
		t.Errorf("%+v, %v", list, err)
	}
	if r, err := client.Candidate(t.Context()); err != nil || r.Revision != "next" || r.Decisions != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := served(t, shows(false, http.NotFoundHandler())).Candidate(t.Context()); !errors.Is(
		err, control.ErrNotFound) {
		t.Errorf("%+v, %v", r, err)
	}
}

// The log level can be changed, and anything that is not a level is refused.
func TestLogLevel(t *testing.T) {
	level := zap.NewAtomicLevel()
	client := served(t, shows(false, level))
	if err := client.SetLogLevel(t.Context(), "debug"); err != nil || level.Level() != zap.DebugLevel {
		t.Errorf("%v, %s", err, level.Level())
	}
	if err := client.SetLogLevel(t.Context(), "loud"); !errors.Is(err, control.ErrRefused) ||
		level.Level() != zap.DebugLevel {
		t.Errorf("%v, %s", err, level.Level())
	}
}

// An answer that is none is an error, whatever was asked.
func TestBrokenService(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a fault": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "out of order", http.StatusInternalServerError)
		},
		"a page": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>\n")) },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte(`{"policy`))
		},
	} {
		client := served(t, h)
		_, snapshot := client.Snapshot(t.Context())
		_, decision := client.Decision(t.Context(), "d1")
		_, taken := client.Revoke(t.Context(), revocation.Entry{Issuer: "corp", JTI: "a"})
		listed := client.Decisions(t.Context(), control.Filter{}, false, func(explain.Explanation) {
			t.Errorf("%s: a decision", name)
		})
		for what, err := range map[string]error{"snapshot": snapshot, "decision": decision, "revoke": taken,
			"decisions": listed} {
			if err == nil || !strings.HasPrefix(err.Error(), "control: ") || errors.Is(err, control.ErrNotFound) ||
				errors.Is(err, control.ErrUnreachable) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
	}
}

// What is told to the socket is one entry, and nothing else.
func TestRevokeIsStrict(t *testing.T) {
	for body, want := range map[string]int{
		`{"issuer": "corp", "jti": "a", "until": 7}`: http.StatusBadRequest,
		`{"issuer": "corp", "everything": true}`:     http.StatusBadRequest, `revoke it`: http.StatusBadRequest,
		`{"issuer": "corp", "jti": "` + strings.Repeat("a", 17<<10) + `"}`: http.StatusBadRequest,
		`{"issuer": "corp", "jti": "a"}`:                                   http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		shows(false, http.NotFoundHandler()).ServeHTTP(
			w, httptest.NewRequest("POST", "/revocations", strings.NewReader(body)))
		if w.Code != want {
			t.Errorf("%.40s: %d; want %d", body, w.Code, want)
		}
	}
}

// A decision is printed with what its policy says of it now.
func TestPrintTold(t *testing.T) {
	var b strings.Builder
	told := control.Told{Explanation: explain.Explanation{DecisionID: "d1", Revision: "r1"}, Again: control.Again{
		State: "in force", Reason: "ok", Rules: []rego.Firing{
			{Rule: "pay", Values: map[string]string{"b": "2", "a": "1"}}}}}
	told.Print(&b)
	for _, want := range []string{"policy     revision r1, in force\n", "again      ok\n", "           pay a=1 b=2\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	if (control.Told{Again: control.Again{State: "no longer loaded"}}).Print(&b); strings.Contains(
		b.String(), "again ") {
		t.Errorf("a policy that is gone says something:\n%s", b.String())
	}
}
