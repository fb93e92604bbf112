package server

import (
	"context"
	"time"

	"github.com/stepward/stepward/pkg/authz"
)

// A service is stalled if calls are under way and none has been answered for this many
// looks.
const (
	stallInterval = time.Second
	stallLooks    = 3
)

// watchdog tells Envoy to go elsewhere while no answers come. Otherwise Envoy would find
// out by itself, one lost request at a time.
func (s *Server) watchdog(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	w := stall{gate: s.gate}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if stalled := w.look(); s.stalled.Swap(stalled) != stalled {
			s.updateHealth()
			if stalled {
				s.log.Error("no call has been answered for a while; health says NOT_SERVING")
			} else {
				s.log.Info("calls are answered again")
			}
		}
	}
}

// stall compares one look at the gate with the last.
type stall struct {
	gate     *authz.Gate
	answered uint64
	looks    int
}

func (w *stall) look() bool {
	inFlight, answered := w.gate.Load()
	if inFlight == 0 || answered != w.answered {
		w.looks = 0
	} else {
		w.looks++
	}
	w.answered = answered
	return w.looks >= stallLooks
}
