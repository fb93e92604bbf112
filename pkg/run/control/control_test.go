package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

func decision(n int) *authz.Record {
	r := &authz.Record{
		ID: fmt.Sprintf("d%d", n), Time: time.Unix(int64(n), 0), Request: request.Request{Method: "GET", Path: "/odd"},
		Judgement: authz.Judgement{Decision: stepup.Allow{}}, Response: response.Response{Kind: response.Allow},
	}
	if n%2 == 0 {
		r.Request.Path, r.Request.RawQuery = "/even", "code=SECRET"
		r.Token = &token.Token{Subject: "alice", Claims: map[string]any{"email": "SECRET"}}
		r.Decision = stepup.Redirect{Why: stepup.InsufficientLevel}
		r.Response = response.Response{Status: 302, Headers: []request.Field{
			{Name: "location", Value: "https://login.example.com/?return_to=SECRET"},
			{Name: "set-cookie", Value: "SECRET"}}}
		r.Shortfall = stepup.Shortfall{Rule: "stepward.policy.require (p.rego:3)"}
	}
	return r
}

func TestRing(t *testing.T) {
	ring := control.NewRing(10)
	for n := range 25 {
		ring.Observe(t.Context(), decision(n))
	}
	recent := ring.Recent()
	if len(recent) != 10 || recent[0].DecisionID != "d15" || recent[9].DecisionID != "d24" {
		t.Errorf("%d: %s … %s", len(recent), recent[0].DecisionID, recent[len(recent)-1].DecisionID)
	}
	if _, _, ok := ring.Find("d20"); !ok {
		t.Error("a recent one is not found")
	}
	if _, _, ok := ring.Find("d3"); ok {
		t.Error("an old one is kept")
	}
	if text := fmt.Sprintf("%+v", recent); strings.Contains(text, "SECRET") {
		t.Errorf("a secret is kept: %s", text)
	}
}

// What a client can make large is not kept, nor what the proxy sent; the decision is.
func TestRingKeepsNoLargeBody(t *testing.T) {
	deep := any("x")
	for range 1000 {
		deep = []any{deep}
	}
	for name, c := range map[string]struct {
		body request.Body
		kept bool
	}{
		"small": {request.Body{Present: true, JSON: map[string]any{"amount": json.Number("10"),
			"to": []any{"bob"}}}, true},
		"a small form": {request.Body{Present: true, Form: map[string][]string{"a": {"b"}}}, true},
		"a text":       {request.Body{Present: true, JSON: strings.Repeat("x", 40<<10)}, false},
		"a number":     {request.Body{Present: true, JSON: json.Number(strings.Repeat("1", 40<<10))}, false},
		"a name":       {request.Body{Present: true, JSON: map[string]any{strings.Repeat("x", 40<<10): true}}, false},
		"many values":  {request.Body{Present: true, JSON: make([]any, 10_000)}, false},
		"deep":         {request.Body{Present: true, JSON: deep}, false},
		"a form": {request.Body{Present: true, Form: map[string][]string{"a": {strings.Repeat("x", 40<<10)}}},
			false},
	} {
		r := decision(0)
		r.Stages.Evaluated = time.Unix(1, 0)
		r.Request.Body = c.body
		r.Request.Attributes = func() map[string]any { return nil }
		ring := control.NewRing(10)
		ring.Observe(t.Context(), r)
		e, q, ok := ring.Find("d0")
		if !ok || e.Request.Method != "GET" || (q.Request.Method == "GET") != c.kept || q.Request.Attributes != nil ||
			!c.kept && q.Request.Body.Present {
			t.Errorf("%s: %v, %+v", name, ok, q.Request.Method)
		}
	}
}

// Over a real socket: kept decisions, new ones, one by its id, and filtered ones.
func TestSocket(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		ring := control.NewRing(100)
		for n := range 4 {
			ring.Observe(t.Context(), decision(n))
		}
		path := filepath.Join(t.TempDir(), "c.sock")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{ReadHeaderTimeout: time.Second, Handler: control.Handler(
			control.Config{Ring: ring, Snapshot: func() any { return map[string]string{"policy_revision": "r1"} },
				Level: http.NotFoundHandler(),
				Issuers: func() []control.Issuer {
					return []control.Issuer{{Name: "corp", Issuer: "https://idp.example.com"}}
				},
				Revocations: revocation.New(2, nil),
				Revisions: func() []control.Revision {
					return []control.Revision{{Revision: "r1", InForce: true, From: "files"}}
				},
				Again: func(_ context.Context, revision string, q authz.Question) control.Again {
					return control.Again{State: "no longer loaded", Reason: q.Request.Path}
				},
			})}
		go server.Serve(listener)
		defer server.Close()
		client, err := control.NewClient("unix://" + path)
		if err != nil {
			t.Fatal(err)
		}
		ids := func(f control.Filter) (out string) {
			if err := client.Decisions(t.Context(), f, false, func(e explain.Explanation) {
				out += e.DecisionID + " "
			}); err != nil {
				t.Fatal(err)
			}
			return out
		}
		for want, f := range map[string]control.Filter{
			"d0 d1 d2 d3 ": {}, "d0 d2 ": {Path: "/ev"}, "d1 d3 ": {Result: "allow"}, "": {Subject: "bob"},
		} {
			if got := ids(f); got != want {
				t.Errorf("%+v: %q; want %q", f, got, want)
			}
		}
		for _, f := range []control.Filter{{Subject: "alice"}, {Reason: "insufficient_level"}, {Rule: "p.rego:3"}} {
			if got := ids(f); got != "d0 d2 " {
				t.Errorf("%+v: %q", f, got)
			}
		}
		if e, err := client.Decision(t.Context(), "d2"); err != nil || e.Token.Subject != "alice" ||
			e.Answer.Location != "https://login.example.com/" {
			t.Errorf("%+v, %v", e, err)
		}
		if _, err := client.Decision(t.Context(), "nobody's"); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if raw, err := client.Snapshot(t.Context()); err != nil || !strings.Contains(string(raw), "r1") {
			t.Errorf("%s, %v", raw, err)
		}
		if list, err := client.Issuers(t.Context()); err != nil || len(list) != 1 || list[0].Name != "corp" {
			t.Errorf("%+v, %v", list, err)
		}
		if e, err := client.Revoke(t.Context(), revocation.Entry{Issuer: "corp", Subject: "alice"}); err != nil ||
			e.Issuer != "https://idp.example.com" || e.Before.IsZero() || e.Until.IsZero() {
			t.Errorf("%+v, %v", e, err)
		}
		for what, e := range map[string]revocation.Entry{"no such issuer": {Issuer: "nobody", JTI: "a"},
			"one of": {Issuer: "corp"}, "before goes": {Issuer: "corp", JTI: "a", Before: time.Now()}} {
			if _, err := client.Revoke(t.Context(), e); !errors.Is(err, control.ErrRefused) || !strings.Contains(
				err.Error(), what) {
				t.Errorf("%+v: %v; want %q", e, err, what)
			}
		}
		if _, err := client.Revoke(t.Context(), revocation.Entry{Issuer: "https://idp.example.com",
			JTI: "a"}); err != nil {
			t.Error(err)
		}
		if _, err := client.Revoke(t.Context(), revocation.Entry{Issuer: "corp", JTI: "b"}); err == nil ||
			errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "full") {
			t.Errorf("one too many: %v", err)
		}
		if list, err := client.Revocations(t.Context()); err != nil || len(list) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		seen := make(chan string, 100)
		done := make(chan error)
		go func() {
			done <- client.Decisions(ctx, control.Filter{Path: "/odd"}, true, func(e explain.Explanation) {
				seen <- e.DecisionID
			})
		}()
		for _, want := range []string{"d1", "d3"} {
			if got := <-seen; got != want {
				t.Errorf("%s; want %s", got, want)
			}
		}
		for n := 4; n < 8; n++ {
			ring.Observe(t.Context(), decision(n))
		}
		for _, want := range []string{"d5", "d7"} {
			if got := <-seen; got != want {
				t.Errorf("%s; want %s", got, want)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		absent, err := control.NewClient("unix://" + path + ".none")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := absent.Snapshot(t.Context()); !errors.Is(err, control.ErrUnreachable) || !strings.Contains(
			err.Error(), path+".none: ") {
			t.Errorf("asking: %v", err)
		}
		if err := absent.SetLogLevel(t.Context(), "debug"); !errors.Is(err, control.ErrUnreachable) {
			t.Errorf("telling: %v", err)
		}
		if _, err := control.NewClient("127.0.0.1:1"); err == nil {
			t.Error("TCP is a control socket")
		}
	})
}

// A follower who does not read delays no decision.
func TestSlowFollower(t *testing.T) {
	ring := control.NewRing(10)
	_, more, stop := ring.Follow()
	defer stop()
	for n := range 10_000 {
		ring.Observe(t.Context(), decision(n))
	}
	if first := <-more; first.DecisionID != "d0" {
		t.Errorf("%s", first.DecisionID)
	}
}
