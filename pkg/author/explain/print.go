package explain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/finding/visible"
	"github.com/stepward/stepward/pkg/stepup"
)

// Print shows the stages, one after the other.
func (e Explanation) Print(out io.Writer) {
	line := func(stage, format string, args ...any) {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", 11))
		fmt.Fprintf(out, "%-10s %s\n", stage, text)
	}
	line("request", "%s %s%s%s", visible.Text(e.Request.Method), e.Request.Host, e.Request.RawPath, e.Request.Asked)
	if e.Request.ClientAddress != "" {
		line("", "from %s", e.Request.ClientAddress)
	}
	for _, d := range e.Request.Doubts {
		line("", "%s", d)
	}
	if e.Request.Path == "" {
		line("", "a path that has no one reading")
	} else {
		line("", "path %q, segments %q, kind %s", e.Request.Path, e.Request.Segments, e.Request.Kind)
	}
	switch {
	case e.Presented != "":
		line("presented", "a %s token", e.Presented)
	case e.unread():
		line("presented", "whatever it was, it was not read")
	default:
		line("presented", "nothing")
	}
	if e.Claimed != "" {
		line("", "it says: %s", e.Claimed)
	}
	line("who", "%s", e.who())
	if e.Fault != "" {
		line("fault", "%s", visible.Text(e.Fault))
	}
	if e.Answer.Reason == string(stepup.PolicyNoMatch) {
		line("required", "no rule covers this request, and so it is refused")
	}
	for i, q := range e.Required {
		text := q.Text + "  ← " + q.Rule
		if q.Reason != "" {
			text += ": " + q.Reason
		}
		line(first(i, "required"), "%s", text)
	}
	for i, d := range e.Denied {
		line(first(i, "denied"), "%s", strings.TrimSpace(fmt.Sprintf("%s  %s %s", d.Rule, d.Code, d.Reason)))
	}
	for i, m := range e.Missing {
		line(first(i, "missing"), "%s, for %s", m.Part, m.Rule)
	}
	for i, m := range e.Observed {
		line(first(i, "observed"), "%s would be missing for %s", m.Part, m.Rule)
	}
	line("answer", "%s", e.Answer)
	for _, name := range slices.Sorted(maps.Keys(e.Answer.Upstream)) {
		line("", "upstream gets %s: %s", name, e.Answer.Upstream[name])
	}
	for i, a := range e.Others {
		line(first(i, "others"), "%-12s %s", a.Client, a)
	}
	line("policy", "revision %s", e.Revision)
}

func first(i int, s string) string {
	if i == 0 {
		return s
	}
	return ""
}

func (e Explanation) who() string {
	switch {
	case e.Failure != "":
		return "nobody: " + visible.Text(e.Failure)
	case e.Token == nil && e.unread():
		return "not asked: the request is refused before"
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
		text += fmt.Sprintf(", authenticated %s ago", short(time.Duration(*e.AuthAge)*time.Second))
	}
	if t.Bound {
		text += ", bound to the caller's key"
	}
	if !t.Expires.IsZero() {
		text += "\ngood until " + t.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// String is the line of an answer that says most.
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
