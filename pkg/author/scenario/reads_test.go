package scenario_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// What a rule reads can be missing, unreadable, too old or of another type. Whatever of it
// is so, a request that a rule stops is not let through. These tests take the shipped
// policies, requests that they stop, and bend one thing at a time.

// subject is a shipped policy.
type subject struct {
	name    string
	sources []rego.Source
	data    int // the place of its data among the sources, or -1
}

func subjects(t testing.TB) []subject {
	t.Helper()
	examples, err := filepath.Glob("../../../examples/policies/*/policy.rego")
	if err != nil || len(examples) < 10 {
		t.Fatal(examples, err)
	}
	var list []subject
	for _, example := range append(examples, "") {
		x := subject{name: "default", data: -1}
		var paths []string
		if example != "" {
			x.name, paths = filepath.Base(filepath.Dir(example)), []string{filepath.Dir(example)}
		}
		if x.sources, err = snapshot.Sources(paths); err != nil {
			t.Fatal(err)
		}
		x.data = slices.IndexFunc(x.sources, func(s rego.Source) bool { return filepath.Base(s.Name) == "data.json" })
		list = append(list, x)
	}
	return list
}

// stage is the policy with other data, and with members that are too old; nil where that is
// refused.
func (x subject) stage(t testing.TB, data []byte, stale ...string) *scenario.Stage {
	t.Helper()
	c, err := config.Parse("stepward.yaml", []byte(ladder+"policy: { default: true }\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	levels, err := c.Ladder()
	if err != nil {
		t.Fatal(err)
	}
	sources := slices.Clone(x.sources)
	if data != nil {
		sources[x.data].Text = data
	}
	opt := rego.Options{Ladder: levels, Timeout: time.Minute, Unknown: map[string]time.Time{}}
	for _, name := range stale {
		opt.Unknown[name] = time.Time{}
	}
	p, err := rego.Load(t.Context(), sources, opt)
	if err != nil {
		return nil
	}
	a, err := snapshot.NewAuthorizer(c, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return scenario.NewStage(a, c)
}

// bentData are the data of x with one leaf or member missing or of another type, and the
// names of its members.
func (x subject) bentData(t testing.TB) (list [][]byte, names []string) {
	t.Helper()
	if x.data < 0 {
		return nil, nil
	}
	whole, err := strictjson.Object(x.sources[x.data].Text)
	if err != nil {
		t.Fatal(err)
	}
	for _, bent := range bend(whole) {
		text, err := json.Marshal(bent)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	return list, slices.Sorted(maps.Keys(whole))
}

// optional are members of data that ask for more where they are there: a requirement
// without them is another one, and reads as well.
var optional = []string{"max_age", "reason", "detail"}

// bend gives values that are v with one thing of it missing or of another type.
func bend(v any) []any {
	list := []any{nil, json.Number("7"), "", true, []any{}, map[string]any{}}
	switch v := v.(type) {
	case json.Number:
		list = slices.DeleteFunc(list, func(x any) bool { _, is := x.(json.Number); return is }) // another score
	case []any:
		// a table without entries says so
		list = slices.DeleteFunc(list, func(x any) bool { empty, is := x.([]any); return is && len(empty) == 0 })
		for i := range v {
			for _, x := range bend(v[i]) {
				other := slices.Clone(v)
				other[i] = x
				list = append(list, other)
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if !slices.Contains(optional, key) {
				other := maps.Clone(v)
				delete(other, key)
				list = append(list, other)
			}
			for _, x := range bend(v[key]) {
				other := maps.Clone(v)
				other[key] = x
				list = append(list, other)
			}
		}
	}
	return list
}

// bentRequests are s with one thing of it missing, unreadable or of another type.
func bentRequests(s scenario.Scenario) []func(*request.Raw, map[string]any) {
	var list []func(*request.Raw, map[string]any)
	onRaw := func(change func(*request.Raw)) {
		list = append(list, func(r *request.Raw, _ map[string]any) { change(r) })
	}
	for name := range s.Headers {
		for _, value := range []string{"", "x", "x, y", strings.Repeat("z", 300)} {
			onRaw(func(r *request.Raw) {
				r.Headers = slices.Clone(r.Headers)
				for i := range r.Headers {
					if r.Headers[i].Name == name {
						r.Headers[i].Value = value
					}
				}
			})
		}
		onRaw(func(r *request.Raw) {
			r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(f request.Field) bool { return f.Name == name })
		})
		onRaw(func(r *request.Raw) {
			r.Headers = append(slices.Clone(r.Headers), request.Field{Name: name, Value: "twice"})
		})
	}
	if s.Body != nil {
		onRaw(func(r *request.Raw) { r.Body = request.RawBody{} })
		onRaw(func(r *request.Raw) { r.Body.Truncated = true })
		for _, text := range []string{"", "{", "null", "[]", "7", "\"x\"", "\ufeff" + string(s.Body),
			string(s.Body) + "{}", "{}", "{\"a\":1,\"a\":2}"} {
			onRaw(func(r *request.Raw) { r.Body.Bytes = []byte(text) })
		}
		for _, media := range []string{"", "text/plain", "text/json", "application/x-www-form-urlencoded",
			"application/json; charset=utf-16"} {
			onRaw(func(r *request.Raw) {
				r.Headers = slices.Clone(r.Headers)
				for i := range r.Headers {
					if r.Headers[i].Name == "content-type" {
						r.Headers[i].Value = media
					}
				}
			})
		}
	}
	if s.Principal != "" {
		onRaw(func(r *request.Raw) { r.Source.Principal = "" })
		onRaw(func(r *request.Raw) { r.Source.Principal = "spiffe://example.com/" })
	}
	for name := range s.Token {
		for _, value := range []any{nil, json.Number("7"), "", "x", []any{}, []any{json.Number("1")}, map[string]any{},
			true} {
			list = append(list, func(_ *request.Raw, claims map[string]any) { claims[name] = value })
		}
		if name != "auth_age" && name != "sub" { // without these a scenario takes its own
			list = append(list, func(_ *request.Raw, claims map[string]any) { delete(claims, name) })
		}
	}
	return list
}

// stopped are the scenarios in which a rule stops somebody who is known.
func stopped(t testing.TB, stage *scenario.Stage) []scenario.Scenario {
	t.Helper()
	var list []scenario.Scenario
	for _, written := range scenarios() {
		s, err := scenario.Parse([]byte(written))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := stage.Decide(t.Context(), s); err == nil && s.Token != nil && scenario.AnswerOf(
			r).Result != "allow" {
			list = append(list, s)
		}
	}
	return list
}

// bent decides s with one thing of it changed. Nothing is decided of what cannot be played.
func bent(t testing.TB, stage *scenario.Stage, s scenario.Scenario, change func(*request.Raw, map[string]any)) string {
	t.Helper()
	raw, claims := s.Raw(), maps.Clone(s.Token)
	change(&raw, claims)
	r, err := stage.DecideRaw(t.Context(), raw, claims)
	if err != nil {
		return "none"
	}
	return string(scenario.AnswerOf(r).Result)
}

func TestWhatARuleReads(t *testing.T) {
	for _, x := range subjects(t) {
		t.Run(x.name, func(t *testing.T) {
			stage := x.stage(t, nil)
			list := stopped(t, stage)
			n := 0
			for _, s := range list {
				for _, change := range bentRequests(s) {
					if n++; bent(t, stage, s, change) == "allow" {
						raw, claims := s.Raw(), maps.Clone(s.Token)
						change(&raw, claims)
						t.Errorf("%s %s: stopped, and let through with %+v %q %v", s.Method, s.Path, claims,
							raw.Body.Bytes, raw.Headers)
					}
				}
			}
			texts, names := x.bentData(t)
			refused := 0
			for _, text := range texts {
				other := x.stage(t, text)
				if other == nil {
					refused++
					continue
				}
				for _, s := range list {
					if n++; bent(t, other, s, func(*request.Raw, map[string]any) {}) == "allow" {
						t.Errorf("%s %s %v: stopped, and let through with %s", s.Method, s.Path, s.Token, text)
					}
				}
			}
			for _, name := range names {
				other := x.stage(t, nil, name)
				if other == nil {
					t.Errorf("refused where data.%s is stale", name)
					continue
				}
				for _, s := range list {
					if n++; bent(t, other, s, func(*request.Raw, map[string]any) {}) == "allow" {
						t.Errorf("%s %s %v: stopped, and let through where data.%s is stale", s.Method, s.Path, s.Token,
							name)
					}
				}
			}
			t.Logf("%d stopped, %d bent, %d of %d data refused", len(list), n, refused, len(texts))
			if len(list) < 10 || n < 100 {
				t.Errorf("%d stopped and %d bent: this tests little", len(list), n)
			}
		})
	}
}

// FuzzWhatARuleReads bends one thing of a request that a rule stops, the value being
// anything: it is never let through.
func FuzzWhatARuleReads(f *testing.F) {
	for i := range uint8(13) {
		f.Add(i, uint16(i)*7, uint8(i), `null`, false)
		f.Add(i, uint16(i)*5, uint8(i), `{"amount":"1"}`, true)
	}
	list := subjects(f)
	stages, stops := map[int]*scenario.Stage{}, map[int][]scenario.Scenario{}
	f.Fuzz(func(t *testing.T, which uint8, number uint16, what uint8, value string, body bool) {
		n := int(which) % len(list)
		if stages[n] == nil {
			stages[n] = list[n].stage(t, nil)
			stops[n] = stopped(t, stages[n])
		}
		s := stops[n][int(number)%len(stops[n])]
		claims := maps.Clone(s.Token)
		raw := s.Raw()
		names := slices.Sorted(maps.Keys(claims))
		switch {
		case body && s.Body != nil:
			if strings.Contains(value, "amount") || strings.Contains(value, "query") {
				return // another amount, another document: what the rule asks for may be less
			}
			raw.Body.Bytes = []byte(value)
		case len(names) > 0:
			name := names[int(what)%len(names)]
			v, err := strictjson.Decode([]byte(value))
			if _, text := v.(string); err != nil || text || isNames(v) || name == "auth_age" || name == "level" ||
				name == "acr" {
				return // a caller of another name, with other roles, or who has proved more
			}
			claims[name] = v
		default:
			return
		}
		r, err := stages[n].DecideRaw(t.Context(), raw, claims)
		if err == nil && scenario.AnswerOf(r).Result == "allow" {
			t.Errorf("%s: %s %s: stopped, and let through with %v %q", list[n].name, s.Method, s.Path, claims,
				raw.Body.Bytes)
		}
	})
}

// isNames reports whether v holds texts: other roles or methods, and no broken ones.
func isNames(v any) bool { return strings.Contains(fmt.Sprintf("%T %q", v, v), `"`) }
