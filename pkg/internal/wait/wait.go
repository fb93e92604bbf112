// Package wait lets tests wait until something is so, however busy the machine is.
package wait

import (
	"context"
	"testing"
	"time"
)

// Bound is when waiting ends in a failure, so that a test does not hang. Nothing is
// measured by it: what a test waits for comes in a moment, or never.
const Bound = time.Minute

// Until waits until something is so.
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

// Context returns that of a test, with an end.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Bound)
	t.Cleanup(cancel)
	return ctx
}
