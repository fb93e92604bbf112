package output

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/finding/visible"
	"github.com/stepward/stepward/pkg/run/doctor"
)

// Colours of a terminal.
const (
	Bold   = "1"
	Dim    = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Blue   = "34"
)

// Painter writes whole lines at a time, so that several goroutines may use it.
type Painter struct {
	Out    io.Writer
	Colour bool

	mu sync.Mutex
}

// Paint returns s in a colour, if colours are welcome.
func (p *Painter) Paint(colour, s string) string {
	if !p.Colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// Printf writes as [fmt.Printf] does.
func (p *Painter) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.Out, format, args...)
}

// Decision writes e on one line.
func (p *Painter) Decision(e explain.Explanation) {
	status := e.Answer.Status
	if e.Answer.Allowed {
		status = 200
	}
	line := fmt.Sprintf("%s %-5s %-28.60q %s %-22s %s", e.Time.Local().Format("15:04:05"),
		visible.Text(e.Request.Method), e.Request.Shown(),
		p.Paint(StatusColour(status), fmt.Sprintf("%-9s", e.Answer.Result)), e.Answer.Reason, e.Gist())
	if e.Rule != "" {
		line += p.Paint(Dim, "  ← "+e.Rule)
	}
	p.Printf("%s\n", line)
}

// Symptom writes a symptom that a doctor found.
func (p *Painter) Symptom(s doctor.Symptom) {
	mark := map[string]string{"ok": p.Paint(Green, "✓"), "warn": p.Paint(Yellow, "!"),
		"fail": p.Paint(Red, "✗")}[s.Grade]
	p.Printf("%s %-24s %s\n", mark, s.Name, strings.ReplaceAll(s.Detail, "\n", "\n"+strings.Repeat(" ", 27)))
	if s.Hint != "" {
		p.Printf("  %-24s %s\n", "", p.Paint(Dim, s.Hint))
	}
}

// StatusColour returns the colour of an HTTP status.
func StatusColour(status int) string {
	switch {
	case status < 300:
		return Green
	case status < 400:
		return Blue
	case status == 401:
		return Yellow
	}
	return Red
}
