package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// print shows the stages, one after the other.
func (x explanation) print(out io.Writer) {
	r := x.record
	line := func(stage, format string, args ...any) {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", 11))
		fmt.Fprintf(out, "%-10s %s\n", stage, text)
	}
	line("request", "%s %s%s", r.Request.Method, r.Request.Host, r.Request.RawPath)
	line("", "path %q, segments %q, kind %s", r.Request.Path, r.Request.Segments, r.Request.Kind)
	if r.Scheme == "" {
		line("presented", "nothing")
	} else {
		line("presented", "a %s token", r.Scheme)
	}
	line("who", "%s", who(r.Token, r.Failure, r.Held, r.Shortfall))
	if len(r.Required) == 0 && len(r.Policy.Deny) == 0 {
		line("required", "no rule covers this request")
	}
	for i, q := range r.Required {
		line(only(i == 0, "required"), "%s", requirement(q))
	}
	for i, d := range r.Policy.Deny {
		line(only(i == 0, "denied"), "%s  %s %s", d.Rule, d.Code, d.Reason)
	}
	if r.Fault != nil {
		line("fault", "%v", r.Fault)
	}
	for i, g := range r.Shortfall.Unmet {
		line(only(i == 0, "missing"), "%s, for %s", g.Part, g.Requirement.Rule)
	}
	line("answer", "%s", summary(r))
	for _, f := range r.Response.Set {
		line("", "upstream gets %s: %s", f.Name, f.Value)
	}
	for i, a := range x.answers {
		line(only(i == 0, "others"), "%-12s %s", clients[i].name, summary(a))
	}
	line("policy", "revision %s", r.Revision)
}

func only(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}

func who(t *token.Token, failure *token.Error, held string, s stepup.Shortfall) string {
	switch {
	case failure != nil:
		return "nobody: " + failure.Error()
	case t == nil:
		return "nobody"
	}
	text := fmt.Sprintf("%s %q of issuer %s, client %q\nlevel %s", t.Principal, t.Subject, t.IssuerName, t.ClientID, held)
	if t.ACR != "" {
		text += fmt.Sprintf(" (acr %s)", t.ACR)
	}
	if age, ok := s.Age.Get(); ok {
		text += fmt.Sprintf(", authenticated %s ago", age)
	} else {
		text += ", authenticated at an unknown time"
	}
	return text
}

// requirement is q on one line, with the rule that asked.
func requirement(q stepup.Requirement) string {
	parts := []string{q.Level}
	if len(q.ACR) > 0 {
		parts = []string{"acr " + strings.Join(q.ACR, " or ")}
	}
	add := func(yes bool, format string, args ...any) {
		if yes {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	age, hasAge := q.MaxAge.Get()
	tokenAge, hasTokenAge := q.TokenAge.Get()
	add(hasAge, "in the last %s", short(age))
	add(len(q.AMR) > 0, "by %s", strings.Join(q.AMR, " and "))
	add(len(q.Scope) > 0, "scope %s", strings.Join(q.Scope, " "))
	add(len(q.Audience) > 0, "audience %s", strings.Join(q.Audience, " or "))
	add(len(q.Issuer) > 0, "issuer %s", strings.Join(q.Issuer, " or "))
	add(q.SenderConstrained, "sender-constrained")
	add(hasTokenAge, "token issued in the last %s", short(tokenAge))
	add(q.Shadow, "observed only")
	text := strings.Join(parts, ", ") + "  ← " + q.Rule
	if q.Reason != "" {
		text += ": " + q.Reason
	}
	return text
}

// document is the explanation as JSON.
func (x explanation) document() map[string]any {
	r := x.record
	d := map[string]any{
		"request":   map[string]any{"method": r.Request.Method, "host": r.Request.Host, "path": r.Request.Path, "segments": r.Request.Segments, "kind": r.Request.Kind},
		"presented": string(r.Scheme), "level": r.Held, "result": r.Result(), "reason": r.Reason(), "rule": r.Rule(), "policy_revision": r.Revision,
		"status": r.Response.Status, "missing": r.Shortfall.Missing(), "required_level": r.Shortfall.Level,
	}
	if t := r.Token; t != nil {
		d["token"] = map[string]any{"issuer": t.Issuer, "issuer_name": t.IssuerName, "subject": t.Subject, "client_id": t.ClientID, "principal": t.Principal, "acr": t.ACR, "amr": t.AMR}
	}
	if r.Failure != nil {
		d["token_failure"] = r.Failure.Error()
	}
	if r.Fault != nil {
		d["fault"] = r.Fault.Error()
	}
	var required, denied []map[string]any
	for _, q := range r.Required {
		required = append(required, map[string]any{"rule": q.Rule, "text": requirement(q), "level": q.Level, "acr": q.ACR, "max_age": q.MaxAge.Seconds(), "scope": q.Scope, "reason": q.Reason, "floor": q.Floor, "shadow": q.Shadow})
	}
	for _, n := range r.Policy.Deny {
		denied = append(denied, map[string]any{"rule": n.Rule, "code": n.Code, "reason": n.Reason, "status": n.Status, "always": n.Always})
	}
	d["required"], d["denied"] = required, denied
	upstream := map[string]string{}
	for _, f := range r.Response.Set {
		upstream[f.Name] = f.Value
	}
	d["upstream_headers"], d["removed_headers"] = upstream, r.Response.Remove
	answers := map[string]any{}
	for i, a := range x.answers {
		answers[clients[i].name] = map[string]any{"status": a.Response.Status, "allowed": a.Response.Allowed, "reason": a.Reason(), "result": a.Result(), "headers": a.Response.Headers}
	}
	d["answers"] = answers
	return d
}

// short is d without the units of which there are none: "5m", not "5m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
