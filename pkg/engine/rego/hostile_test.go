package rego_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/watchdog"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
)

// hostile is a regular expression that OPA does not interrupt.
const hostile = head + `
require contains {"level": "mfa"} if regex.match("(a{0,30}){0,30}(a{0,30}){0,30}$", concat("", [input.request.query.x[0], "b"]))
require contains {"level": "authenticated"}`

// An evaluation that does not end in time is a timeout for its caller, whether
// or not OPA notices; those that run on are few, and end.
func TestWatchdog(t *testing.T) {
	mine := goleak.IgnoreCurrent()
	defer func() { // what was given up ends by itself, the last of it a while after the first
		wait.Until(t, "what was given up ends", func() bool { return goleak.Find(mine) == nil })
	}()
	for name, text := range map[string]string{
		"a regular expression that OPA does not interrupt": hostile,
		"a loop": head +
			`require contains {"level": "mfa"} if count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i == j]) > 0`,
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, rego.Options{Timeout: 5 * time.Millisecond}, text) // clock: this is to be too short
			if err != nil {
				t.Fatal(err)
			}
			slow := ask(t, "GET", "/?x="+strings.Repeat("a", 4_000), nil)
			saturated := false
			for range 40 {
				r, err := p.Evaluate(t.Context(), slow)
				if !errors.Is(err, policy.ErrTimeout) || len(r.Require) > 0 {
					t.Fatalf("%+v, %v; want a timeout", r, err)
				}
				saturated = saturated || errors.Is(err, watchdog.ErrSaturated)
			}
			if name != "a loop" && !saturated {
				t.Error("evaluations that run on are not limited")
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := p.Evaluate(ended, slow); !errors.Is(err, context.Canceled) &&
				!errors.Is(err, watchdog.ErrSaturated) {
				t.Errorf("a caller that is gone: %v", err)
			}
			// Once they have ended the policy works again.
			quick := ask(t, "GET", "/?x=c", nil)
			if name != "a loop" {
				wait.Until(t, "the policy works again",
					func() bool { _, err := p.Evaluate(t.Context(), quick); return err == nil })
			}
		})
	}
}

// One hostile expression stops only the route where it runs, and there only requests that
// reach its rule.
func TestHostileRoute(t *testing.T) {
	short := rego.Options{Timeout: 20 * time.Millisecond} // clock: this is to be too short
	p, err := load(t, short, head+`
require contains {"level": "mfa"} if {
	input.request.method == "POST"
	regex.match("(a{0,30}){0,30}(a{0,30}){0,30}$", concat("", [input.request.query.x[0], "b"]))
}
require contains {"level": "authenticated"}`)
	if err != nil {
		t.Fatal(err)
	}
	hostile := ask(t, "POST", "/slow/1?x="+strings.Repeat("a", 4_000), nil)
	saturated := 0
	for range 40 {
		if r, err := p.Evaluate(t.Context(), hostile); !errors.Is(err, policy.ErrTimeout) || len(r.Require) > 0 {
			t.Fatalf("%+v, %v; want a timeout", r, err)
		} else if errors.Is(err, watchdog.ErrSaturated) {
			saturated++
		}
	}
	if saturated < 20 {
		t.Errorf("%d of 40 were refused before they began", saturated)
	}
	if _, err := p.Evaluate(t.Context(), ask(t, "POST", "/slow/2?x=c", nil)); !errors.Is(err, watchdog.ErrSaturated) {
		t.Errorf("the rule and route that are full: %v", err)
	}
	for _, in := range []policy.Input{ask(t, "GET", "/slow/2?x=c", nil), ask(t, "POST", "/other?x=c", nil)} {
		r, err := p.Evaluate(t.Context(), in)
		if errors.Is(err, watchdog.ErrSaturated) || err == nil && len(r.Require) == 0 {
			t.Errorf("%s %s: %+v, %v", in.Request.Method, in.Request.Path, r, err)
		}
	}
	for { // until what was given up has ended by itself
		if _, err := p.Evaluate(t.Context(), ask(t, "POST", "/slow/2?x=c", nil)); !errors.Is(
			err, watchdog.ErrSaturated) {
			return
		}
		time.Sleep(20 * time.Millisecond) // clock: a pause between two looks
	}
}
