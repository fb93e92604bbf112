package explain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/finding/visible"
	"github.com/stepward/stepward/pkg/stepup"
)

// Print writes the stages, one after another.
func (e Explanation) Print(out io.Writer) {
	p := printer{out: out}
	p.request(e)
	p.line("who", "%s", e.who())
	if e.Fault != "" {
		p.line("fault", "%s", visible.Text(e.Fault))
	}
	p.required(e)
	p.line("answer", "%s", e.Answer)
	for _, name := range slices.Sorted(maps.Keys(e.Answer.Upstream)) {
		p.line("", "upstream gets %s: %s", name, e.Answer.Upstream[name])
	}
	for i, a := range e.Others {
		p.line(first(i, "others"), "%-12s %s", a.Client, a)
	}
	p.line("policy", "revision %s", e.Revision)
}

// printer writes lines that begin with the name of a stage.
type printer struct{ out io.Writer }

func (p printer) line(stage, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", 11))
	fmt.Fprintf(p.out, "%-10s %s\n", stage, text)
}

// request writes what was asked for, and with which credential.
func (p printer) request(e Explanation) {
	r := e.Request
	p.line("request", "%s %s%s%s", visible.Text(r.Method), r.Host, r.RawPath, r.Asked)
	if r.ClientAddress != "" {
		p.line("", "from %s", r.ClientAddress)
	}
	for _, d := range r.Doubts {
		p.line("", "%s", d)
	}
	if r.Path == "" {
		p.line("", "a path that can be read in more than one way")
	} else {
		p.line("", "path %q, segments %q, kind %s", r.Path, r.Segments, r.Kind)
	}
	switch {
	case e.Presented != "":
		p.line("presented", "a %s token", e.Presented)
	case e.unread():
		p.line("presented", "whatever it was, it was not read")
	default:
		p.line("presented", "nothing")
	}
	if e.Claimed != "" {
		p.line("", "it says: %s", e.Claimed)
	}
}

// required writes what the rules asked for, and which parts are missing.
func (p printer) required(e Explanation) {
	if e.Answer.Reason == string(stepup.PolicyNoMatch) {
		p.line("required", "no rule covers this request, and so it is refused")
	}
	for i, q := range e.Required {
		text := q.Text + "  ← " + q.Rule
		if q.Reason != "" {
			text += ": " + q.Reason
		}
		p.line(first(i, "required"), "%s", text)
	}
	for i, d := range e.Denied {
		p.line(first(i, "denied"), "%s", strings.TrimSpace(fmt.Sprintf("%s  %s %s", d.Rule, d.Code, d.Reason)))
	}
	for i, m := range e.Missing {
		p.line(first(i, "missing"), "%s, for %s", m.Part, m.Rule)
	}
	for i, m := range e.Observed {
		p.line(first(i, "observed"), "%s would be missing for %s", m.Part, m.Rule)
	}
}

// first returns the name of a stage for the first of its lines.
func first(i int, s string) string {
	if i == 0 {
		return s
	}
	return ""
}

// who says who asks, what that proves, and until when.
func (e Explanation) who() string {
	switch {
	case e.Failure != "":
		return "nobody: " + visible.Text(e.Failure)
	case e.Token == nil && e.unread():
		return "not asked: the request is refused before that"
	case e.Token == nil:
		return "nobody"
	}
	t := e.Token
	text := fmt.Sprintf("%s %q of issuer %s", t.Principal, t.Subject, t.IssuerName)
	if t.ClientID != "" {
		text += fmt.Sprintf(", client %q", t.ClientID)
	}
	text += "\nlevel " + e.Level
	if e.Level == "" {
		text += "not judged"
	}
	if t.ACR != "" {
		text += fmt.Sprintf(" (acr %s)", t.ACR)
	}
	if e.AuthAge == nil {
		text += ", authenticated at an unknown time"
	} else {
		text += fmt.Sprintf(", authenticated %s ago", config.Duration(time.Duration(*e.AuthAge)*time.Second))
	}
	if t.Bound {
		text += ", bound to the caller's key"
	}
	if !t.Expires.IsZero() {
		text += "\ngood until " + t.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// String puts an answer on one line.
func (a Answer) String() string {
	if a.Allowed {
		return "allowed"
	}
	s := fmt.Sprintf("%d %s", a.Status, a.Reason)
	if a.Result == "redirect" && a.Status == 401 {
		s += " → a page that moves on to the login by GET"
	}
	if a.Location != "" {
		s += " → " + a.Location
	}
	if a.Challenge != "" {
		s += "  " + a.Challenge
	}
	return s
}
