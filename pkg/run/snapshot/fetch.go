package snapshot

import (
	"context"
	"time"
)

// Fetch runs the snapshot until the keys of every issuer are there, or for at most limit.
// It is for commands that make one decision; the caller stops the fetching that goes on.
func (x *Snapshot) Fetch(ctx context.Context, limit time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); x.Run(ctx) }()
	over := time.NewTimer(limit)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(x.Waiting()) > 0 && ctx.Err() == nil {
		select {
		case <-over.C:
			return func() { cancel(); <-done }
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return func() { cancel(); <-done }
}
