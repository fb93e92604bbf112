package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/run/telemetry"
)

func TestSinkKeepsLines(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var out bytes.Buffer
	s := telemetry.NewSink(&out, func() { t.Error("a line was dropped") })
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			line := fmt.Appendf(nil, "line of %d\n", i)
			for range 500 {
				s.Write(line)
			}
			copy(line, "changed later")
		})
	}
	writers.Wait()
	s.Close(time.Minute)
	s.Close(time.Minute)
	if n := strings.Count(out.String(), "line of "); n != 2000 {
		t.Errorf("%d lines", n)
	}
}

// stuck is a pipe that nobody reads.
type stuck struct{ release chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.release; return len(b), nil }

// A sink that hangs delays nobody, and what it costs is counted.
func TestSinkThatHangs(t *testing.T) {
	out := stuck{release: make(chan struct{})}
	var dropped atomic.Int64
	s := telemetry.NewSink(out, func() { dropped.Add(1) })
	for range 20_000 {
		if n, err := s.Write([]byte("x\n")); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	if dropped.Load() < 10_000 {
		t.Errorf("%d dropped", dropped.Load())
	}
	s.Close(10 * time.Millisecond)
	close(out.release)
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestSinkThatIsFull(t *testing.T) {
	var dropped atomic.Int64
	s := telemetry.NewSink(full{}, func() { dropped.Add(1) })
	s.Write([]byte("x\n"))
	s.Close(time.Minute)
	if dropped.Load() != 1 {
		t.Errorf("%d dropped", dropped.Load())
	}
}
