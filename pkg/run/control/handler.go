package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// Filter chooses decisions. Empty members choose all.
type Filter struct {
	Reason  string // exactly
	Result  string // exactly
	Path    string // the beginning of the path
	Subject string // exactly
	Rule    string // a part of the rule's name
}

// Matches reports whether f chooses e.
func (f Filter) Matches(e explain.Explanation) bool {
	subject := ""
	if e.Token != nil {
		subject = e.Token.Subject
	}
	return (f.Reason == "" || f.Reason == e.Answer.Reason) && (f.Result == "" || f.Result == e.Answer.Result) &&
		strings.HasPrefix(e.Request.Shown(), f.Path) && (f.Subject == "" || f.Subject == subject) && strings.Contains(
		e.Rule, f.Rule)
}

func (f Filter) query() url.Values {
	return url.Values{"reason": {f.Reason}, "result": {f.Result}, "path": {f.Path}, "subject": {f.Subject},
		"rule": {f.Rule}}
}

func filterOf(q url.Values) Filter {
	return Filter{Reason: q.Get("reason"), Result: q.Get("result"), Path: q.Get("path"), Subject: q.Get("subject"),
		Rule: q.Get("rule")}
}

// Config holds what the socket shows. All fields are required.
type Config struct {
	Ring     *Ring
	Snapshot func() any   // what is in force
	Level    http.Handler // GET and PUT of the log level, as zap.AtomicLevel serves it
	Issuers  func() []Issuer
	// Revocations receives what is revoked by hand.
	Revocations *revocation.Index
	// Candidate returns what is known about the candidate policy; false without one.
	Candidate func() (divergence.Report, bool)
	// Revisions lists the policies that are loaded, the newest first.
	Revisions func() []Revision
	// Again judges a question with the policy of a revision.
	Again func(ctx context.Context, revision string, q authz.Question) Again
}

// Revision is a policy that was enforced and is still loaded.
type Revision struct {
	Revision   string            `json:"revision"`
	EnforcedAt time.Time         `json:"enforced_at"`
	InForce    bool              `json:"in_force"`
	From       string            `json:"from"` // files or bundles
	Bundles    map[string]string `json:"bundles,omitempty"`
}

// Again holds what the policy behind a decision says when it is asked again.
type Again struct {
	State  string        `json:"state"`            // of the policy: in force, loaded, or no longer loaded
	Reason string        `json:"reason,omitempty"` // of the judgement; ages are as of the time of the decision
	Rules  []rego.Firing `json:"rules,omitempty"`  // rules that held, and with which values
}

// Told is a decision, with what its policy says about it now.
type Told struct {
	explain.Explanation
	Again Again `json:"again"`
}

// Issuer describes the state of an issuer.
type Issuer struct {
	Name      string    `json:"name"`
	Issuer    string    `json:"issuer"`
	Usable    bool      `json:"usable"` // whether its tokens can be verified
	State     string    `json:"state"`  // in words
	Keys      []string  `json:"keys"`   // names
	Skipped   []string  `json:"skipped,omitempty"`
	FetchedAt time.Time `json:"fetched_at,omitzero"`
	Error     string    `json:"error,omitempty"` // of the last fetch
	Warnings  []string  `json:"warnings,omitempty"`
}

// Handler serves GET /decisions (one JSON object per line; with follow=true it goes on),
// GET /decisions/{id}, GET /revisions, GET /snapshot, GET /issuers, GET /candidate, GET and
// POST /revocations, and GET and PUT /log-level.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /decisions", func(w http.ResponseWriter, r *http.Request) { decisions(w, r, c.Ring) })
	mux.HandleFunc("GET /decisions/{id}", func(w http.ResponseWriter, r *http.Request) {
		e, q, ok := c.Ring.Find(r.PathValue("id"))
		if !ok {
			http.Error(w, "no such decision among the last ones", http.StatusNotFound)
			return
		}
		answer(w, Told{e, c.Again(r.Context(), e.Revision, q)})
	})
	mux.HandleFunc("GET /revisions", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.Revisions()) })
	mux.HandleFunc("GET /snapshot", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.Snapshot()) })
	mux.Handle("/log-level", c.Level)
	mux.HandleFunc("GET /issuers", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.Issuers()) })
	mux.HandleFunc("GET /candidate", func(w http.ResponseWriter, _ *http.Request) {
		report, ok := c.Candidate()
		if !ok {
			http.Error(w, "no candidate policy is configured", http.StatusNotFound)
			return
		}
		answer(w, report)
	})
	mux.HandleFunc("GET /revocations", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, c.Revocations.Entries())
	})
	mux.HandleFunc("POST /revocations", func(w http.ResponseWriter, r *http.Request) { revoke(w, r, c) })
	return mux
}

// revoke accepts one entry, whose issuer is a short name or a URL from the configuration.
// Nobody would ever look up an entry for another issuer.
func revoke(w http.ResponseWriter, r *http.Request, c Config) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	d.DisallowUnknownFields()
	var e revocation.Entry
	if err := d.Decode(&e); err != nil {
		http.Error(w, "not an entry: "+err.Error(), http.StatusBadRequest)
		return
	}
	issuers := c.Issuers()
	i := slices.IndexFunc(issuers, func(i Issuer) bool { return e.Issuer == i.Name || e.Issuer == i.Issuer })
	if i < 0 {
		http.Error(w, "no such issuer; stepward issuers lists them", http.StatusNotFound)
		return
	}
	e.Issuer = issuers[i].Issuer
	taken, err := c.Revocations.Revoke(e)
	switch {
	case errors.Is(err, revocation.ErrFull):
		http.Error(w, err.Error(), http.StatusInsufficientStorage)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		answer(w, taken)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

func decisions(w http.ResponseWriter, r *http.Request, ring *Ring) {
	filter := filterOf(r.URL.Query())
	w.Header().Set("Content-Type", "application/x-ndjson")
	recent, more, stop := ring.Follow()
	defer stop()
	e := json.NewEncoder(w)
	for _, x := range recent {
		if filter.Matches(x) && e.Encode(x) != nil {
			return
		}
	}
	if r.URL.Query().Get("follow") != "true" {
		return
	}
	flush := http.NewResponseController(w)
	flush.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case x := <-more:
			if !filter.Matches(x) {
				continue
			}
			if e.Encode(x) != nil || flush.Flush() != nil {
				return
			}
		}
	}
}
