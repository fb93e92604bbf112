package matrix

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/stepup"
)

// needs holds the sum of a row's requirements, as printed and written to JSON.
type needs struct {
	MaxAge *int64   `json:"max_age,omitempty"` // seconds
	AMR    []string `json:"amr,omitempty"`
	Scope  []string `json:"scope,omitempty"`
	More   []string `json:"more,omitempty"`   // other demands: acr, audience, issuer, sender_constrained, token_age
	Denied []string `json:"denied,omitempty"` // the rules that always refuse
	Rules  []string `json:"rules,omitempty"`  // the rules that always hold
}

// needs sums up what r requires.
func (r Row) needs() needs {
	n := needs{More: r.more}
	for _, q := range r.Required {
		if age, set := q.MaxAge.Get(); set {
			if s := int64(age / time.Second); n.MaxAge == nil || s < *n.MaxAge {
				n.MaxAge = &s
			}
		}
		n.AMR, n.Scope, n.More = union(n.AMR, q.AMR), union(n.Scope, q.Scope), union(n.More, demands(q))
		n.Rules = append(n.Rules, q.Rule)
	}
	for _, d := range r.Denied {
		n.Denied = append(n.Denied, d.Rule)
	}
	return n
}

// demands words the parts of q that have no column of their own.
func demands(q stepup.Requirement) []string {
	var list []string
	add := func(name string, v any) {
		if text, err := json.Marshal(v); err == nil {
			list = append(list, name+" "+string(text))
		}
	}
	for _, x := range []struct {
		name   string
		values []string
	}{{"acr", q.ACR}, {"audience", q.Audience}, {"issuer", q.Issuer}} {
		if len(x.values) > 0 {
			add(x.name, x.values)
		}
	}
	if q.SenderConstrained {
		add("sender_constrained", true)
	}
	if age, set := q.TokenAge.Get(); set {
		add("token_age", duration(age))
	}
	return list
}

// duration writes d as a policy does: 5m.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// written is a [Row] in JSON.
type written struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Host   string `json:"host,omitempty"`
	Caller string `json:"caller"`
	Level  string `json:"level"`
	needs
	If      []If   `json:"if,omitempty"`
	Problem string `json:"problem,omitempty"`
	From    string `json:"from,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (r Row) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // as Print does
	err := e.Encode(written{Method: r.Method, Path: r.Path, Host: r.Host, Caller: r.Caller, Level: r.Level,
		needs: r.needs(), If: r.If, Problem: r.Problem, From: r.From})
	return out.Bytes(), err
}

// UnmarshalJSON implements [json.Unmarshaler]. The sum cannot be split again: the first
// requirement holds all of it, and demands without a column are kept as written.
func (r *Row) UnmarshalJSON(text []byte) error {
	var w written
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	*r = Row{Method: w.Method, Path: w.Path, Host: w.Host, Caller: w.Caller, Level: w.Level, If: w.If,
		Problem: w.Problem, From: w.From, more: w.More}
	for _, rule := range w.Denied {
		r.Denied = append(r.Denied, stepup.Denial{Rule: rule})
	}
	for _, rule := range w.Rules {
		r.Required = append(r.Required, stepup.Requirement{Level: stepup.Authenticated, Rule: rule})
	}
	if len(r.Required) == 0 {
		return nil
	}
	first := &r.Required[0]
	first.Level, first.AMR, first.Scope = w.Level, w.AMR, w.Scope
	if w.MaxAge != nil {
		first.MaxAge = stepup.AgeOf(time.Duration(*w.MaxAge) * time.Second)
	}
	return nil
}
