package opaenvoy

import (
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/stepup"
)

func testLadder(t testing.TB) stepup.Ladder {
	t.Helper()
	l, err := stepup.NewLadder([]stepup.Level{{Name: "password", ACR: []string{"1"}},
		{Name: "mfa", ACR: []string{"2"}}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// lets reports whether r lets in a caller of whom nothing is known, or who meets what r
// requires.
func lets(t testing.TB, r policy.Result, err error) (allowed, asks bool) {
	t.Helper()
	s := stepup.Assess(r.Require, testLadder(t), nil, time.Unix(0, 0))
	d := stepup.Decide(stepup.Case{Shortfall: s, Denials: r.Deny})
	_, allowed = d.(stepup.Allow)
	_, challenge := d.(stepup.Challenge)
	return err == nil && allowed, err == nil && challenge
}

func TestRequire(t *testing.T) {
	o := decoder{rule: "envoy/authz/allow", ladder: testLadder(t), headerPrefix: "x-stepward-"}
	for text, want := range map[string]struct{ allowed, asks bool }{
		`true`:                             {true, false},
		`false`:                            {false, false},
		`{"allowed":true}`:                 {true, false},
		`{"allowed":true,"require":[]}`:    {true, false},
		`{"allowed":true,"reasons":["x"]}`: {true, false},
		`{"allowed":true,"require":[{"level":"anonymous"}]}`:                 {true, false},
		`{"allowed":true,"require":[{"level":"mfa","shadow":true}]}`:         {true, false},
		`{"allowed":true,"require":[{"level":"mfa"}]}`:                       {false, true},
		`{"allowed":true,"require":[{"level":"anonymous"},{"scope":["x"]}]}`: {false, true},
		`{"allowed":false,"require":[{"level":"mfa"}]}`:                      {false, false},
		`{"allowed":false,"require":"x"}`:                                    {false, false},
		`{"allowed":true,"require":[{"level":"mfa"},{}]}`:                    {false, false},
		`{"allowed":true,"requirement":[{"level":"mfa"}]}`:                   {false, false},
	} {
		v, err := strictjson.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r, err := o.decode(v)
		if allowed, asks := lets(t, r, err); allowed != want.allowed || asks != want.asks {
			t.Errorf("%s: allowed %t, asks %t (%v); want %+v", text, allowed, asks, err, want)
		}
	}
}

// Only true, or an object whose allowed is true, lets anyone in, and such a result holds
// nothing that could not be sent.
func FuzzDecision(f *testing.F) {
	for _, seed := range []string{
		`true`, `"true"`, `[true]`, `{"allowed":true,"headers":{"x-a":"1"}}`, `{"allowed":"true"}`,
		`{"allowed":false,"http_status":302,"headers":[{"location":"/"}],"body":"b"}`,
		`{"allowed":true,"require":[{"level":"mfa"}],"dynamic_metadata":{"a":[1]}}`,
		`{"allowed":true,"query_parameters_to_set":{"a":["1"]},"query_parameters_to_remove":["b"],"request_headers_to_remove":["c"],"response_headers_to_add":{"d":"e"}}`,
		`{"Allowed":true}`, `{"allowed":true,"requires":1}`, `{"allowed":1}`,
	} {
		f.Add([]byte(seed))
	}
	l := testLadder(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := strictjson.Decode(text)
		if err != nil {
			return
		}
		r, err := decoder{rule: "r", ladder: l, headerPrefix: "x-stepward-"}.decode(v)
		object, _ := v.(map[string]any)
		if allowed, asks := lets(t, r, err); (allowed || asks) && v != true && object["allowed"] != true {
			t.Errorf("%s lets in", text)
		}
		if err != nil {
			return
		}
		for _, headers := range []map[string][]string{r.Headers, r.Response} {
			for name, values := range headers {
				if strings.ToLower(name) != name || strings.HasPrefix(name, ":") || name == "host" ||
					name == "content-length" || strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") {
					t.Errorf("%s: header %q %q", text, name, values)
				}
			}
		}
		for _, d := range r.Deny {
			if d.Status != 0 && (d.Status < 300 || d.Status > 599) || !d.Always {
				t.Errorf("%s: %+v", text, d)
			}
		}
	})
}
