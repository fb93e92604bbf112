package demo_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/demo"
)

// The story comes true, every step is decided by Stepward, and nothing is left
// running.
func TestStory(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		var decisions atomic.Int64
		d, err := demo.Start(t.Context(), demo.Options{Progress: os.Stderr, Observe: func(context.Context, authz.Record) { decisions.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, s := range demo.Story() {
			if err := s.Do(t.Context(), d); err != nil {
				t.Errorf("%s: %v", s.Title, err)
			}
			if line := s.Curl(d); !strings.HasPrefix(line, "curl -si") || !strings.Contains(line, d.Ingress) {
				t.Errorf("%s", line)
			}
		}
		if int(decisions.Load()) != len(demo.Story()) {
			t.Errorf("%d decisions for %d steps", decisions.Load(), len(demo.Story()))
		}
		// A step that expects something else fails.
		wrong := demo.Story()[1]
		wrong.Status = 200
		if wrong.Do(t.Context(), d) == nil {
			t.Error("a step cannot fail")
		}
	})
}

func TestNoEnvoy(t *testing.T) {
	if _, err := demo.Start(t.Context(), demo.Options{EnvoyPath: "/nowhere/envoy"}); err == nil {
		t.Error("a demo without an Envoy")
	}
}
