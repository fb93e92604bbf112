package telemetry

import (
	"io"
	"sync"
	"time"
)

// sinkQueue is how many lines may wait for a sink: a few seconds of a busy service.
const sinkQueue = 8192

// sinkBatch is how many bytes are written together, at most and but for one line.
const sinkBatch = 32 << 10

// Sink writes lines to where they go in a goroutine of its own, so that a full disk
// or a pipe that nobody reads costs log lines and not decisions. It is a
// zapcore.WriteSyncer for many goroutines.
type Sink struct {
	out   io.Writer
	lines chan []byte
	drop  func()
	done  chan struct{}
	once  sync.Once
}

// NewSink writes to out until it is closed. drop, if not nil, is called for each line for
// which there was no room, or which out did not accept.
func NewSink(out io.Writer, drop func()) *Sink {
	if drop == nil {
		drop = func() {}
	}
	s := &Sink{out: out, lines: make(chan []byte, sinkQueue), drop: drop, done: make(chan struct{})}
	go s.run()
	return s
}

// run writes lines until it is told to end. Lines that wait are written together: one call
// of the system for each would cost a busy service more than the lines themselves. A line
// that comes alone does not wait for another.
func (s *Sink) run() {
	defer close(s.done)
	var batch []byte
	for line := range s.lines {
		n, ended := 0, false
		for batch = batch[:0]; ; line = <-s.lines {
			if ended = line == nil; ended {
				break
			}
			batch, n = append(batch, line...), n+1
			if len(s.lines) == 0 || len(batch) >= sinkBatch {
				break
			}
		}
		s.put(batch, n)
		if ended {
			return
		}
	}
}

// put writes n lines.
func (s *Sink) put(batch []byte, n int) {
	if n == 0 {
		return
	}
	if _, err := s.out.Write(batch); err != nil {
		for range n {
			s.drop()
		}
	}
}

// Write queues a copy of line, or drops it. It never waits, and never fails: no caller
// could do anything about the error.
func (s *Sink) Write(line []byte) (int, error) {
	select {
	case s.lines <- append([]byte(nil), line...):
	default:
		s.drop()
	}
	return len(line), nil
}

// Sync does nothing: a line is written as soon as possible.
func (s *Sink) Sync() error { return nil }

// Close waits for queued lines, for at most limit. Lines that are written later are lost.
func (s *Sink) Close(limit time.Duration) {
	s.once.Do(func() {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case s.lines <- nil:
		case <-timer.C:
			return // out hangs: its goroutine ends with the process
		}
		select {
		case <-s.done:
		case <-timer.C:
		}
	})
}
