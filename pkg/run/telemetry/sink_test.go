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
	for range 60_000 {
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

// gate is a disk that is slow for the first write, and counts writes.
type gate struct {
	open   chan struct{}
	writes atomic.Int64
	text   strings.Builder
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.writes.Add(1)
	g.text.Write(b)
	return len(b), nil
}

// Lines that wait are written together, in their order, and none is lost.
func TestSinkWritesTogether(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	s := telemetry.NewSink(g, func() { t.Error("a line was dropped") })
	var want strings.Builder
	for i := range 4000 {
		line := fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", 50))
		want.WriteString(line)
		s.Write([]byte(line))
	}
	close(g.open)
	s.Close(time.Minute)
	if g.text.String() != want.String() {
		t.Error("what was written is not what was logged, line by line")
	}
	if n := g.writes.Load(); n > 40 {
		t.Errorf("%d writes of 4000 lines that waited", n)
	}
}

// A batch that fails counts every line of it.
func TestSinkCountsLinesThatFail(t *testing.T) {
	var dropped atomic.Int64
	hold := &failing{open: make(chan struct{})}
	s := telemetry.NewSink(hold, func() { dropped.Add(1) })
	for range 100 {
		s.Write([]byte("x\n"))
	}
	close(hold.open)
	s.Close(time.Minute)
	if dropped.Load() != 100 {
		t.Errorf("%d of 100 lines are counted as lost", dropped.Load())
	}
}

type failing struct{ open chan struct{} }

func (f *failing) Write([]byte) (int, error) {
	<-f.open
	return 0, errors.New("no space left on device")
}
