// Package wait lets tests wait for a condition, however busy the machine is.
package wait

import (
	"context"
	"testing"
	"time"
)

// Bound is how long to wait before a test fails, so that it does not hang. It measures
// nothing: the condition comes true in a moment, or never.
const Bound = time.Minute

// Until waits until a condition is true.
func Until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > Bound {
			t.Fatalf("never: %s", what)
		}
	}
}

// For waits for a value of a channel, or for its end.
func For[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	limit := time.NewTimer(Bound)
	defer limit.Stop()
	select {
	case v := <-from:
		return v
	case <-limit.C:
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

// Context returns the context of a test, with a deadline.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Bound)
	t.Cleanup(cancel)
	return ctx
}
