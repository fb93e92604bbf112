package output

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Bar shows on a terminal how much of a file has been read.
type Bar struct {
	name string
	in   io.Reader
	all  int64 // bytes; 0 if nobody knows
	n    atomic.Int64

	start         time.Time
	stop, stopped chan struct{}
}

// NewBar reads in, which has all bytes (0 if nobody knows), and draws a bar once a second
// until it is closed. It draws nothing if standard error is not a terminal.
func NewBar(name string, in io.Reader, all int64) *Bar {
	b := &Bar{name: name, in: in, all: all, start: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	if Coloured(os.Stderr) {
		go b.run(os.Stderr)
	} else {
		close(b.stopped)
	}
	return b
}

// Read counts what it reads.
func (b *Bar) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// Close ends the drawing.
func (b *Bar) Close() { close(b.stop); <-b.stopped }

func (b *Bar) run(out io.Writer) {
	defer close(b.stopped)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			fmt.Fprintf(out, "\r\033[K%s\n", b.text(time.Since(b.start)))
			return
		case <-tick.C:
			fmt.Fprintf(out, "\r\033[K%s", b.text(time.Since(b.start))) // overwrite the line
		}
	}
}

// text returns the text of the bar after some time.
func (b *Bar) text(lasted time.Duration) string {
	n := b.n.Load()
	speed := float64(n) / (1 << 20) / max(lasted.Seconds(), 0.001)
	text := fmt.Sprintf("%s: %d MB, %.0f MB/s", b.name, n>>20, speed)
	if b.all == 0 {
		return text
	}
	const width = 30
	filled := int(min(n*width/b.all, width))
	return fmt.Sprintf("[%s%s] %3d %%  %s", strings.Repeat("#", filled), strings.Repeat(".", width-filled),
		min(n*100/b.all, 100), text)
}
