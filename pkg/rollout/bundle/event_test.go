package bundle

import (
	"testing"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
)

// What waits for a sink is bounded in number and in bytes; the rest is dropped, and
// counted.
func TestQueueIsBounded(t *testing.T) {
	for name, v := range map[string]struct {
		body  request.Body
		size  int64
		taken int
	}{
		"no bodies":    {request.Body{}, 4 << 20, queueLength},
		"large bodies": {request.Body{Present: true}, 4 << 20, 15},
		"of any size":  {request.Body{Present: true}, -1, 63},
		"a lie":        {request.Body{Present: true}, 1 << 62, 15},
	} {
		t.Run(name, func(t *testing.T) {
			dropped := 0
			m := &Manager{settings: Settings{Logs: true}, queue: make(chan logged, queueLength), options: Options{
				OnDrop: func() { dropped++ }}}
			for range 5000 {
				m.Observe(t.Context(), Decided{
					Record: &authz.Record{Request: request.Request{Body: v.body, Size: v.size}}})
			}
			if len(m.queue) != v.taken || dropped != 5000-v.taken {
				t.Errorf("%d wait, %d were dropped", len(m.queue), dropped)
			}
		})
	}
}
