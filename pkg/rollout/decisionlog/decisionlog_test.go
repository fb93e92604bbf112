package decisionlog

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func document(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := newDecoder([]byte(`{
		"request": {"path": "/pay", "query": {"q": ["1"]}, "headers": {"x-plan": "gold", "x-api-key": "k", "x/token": "t", "referer": "https://x/?q=1"}, "header_values": {"x-plan": ["gold"], "x-api-key": ["k"], "x/token": ["t"]},
			"body": {"present": true, "json": {"amount": 7, "card": {"number": "4", "kind": "visa"}}}},
		"source": {"address": "10.0.0.1", "certificate": "PEM"},
		"token": {"subject": "alice", "claims": {"email": "a@example.com", "roles": ["x"]}}
	}`)).Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestMasks(t *testing.T) {
	base := []string{"/input/request/query", "/input/request/body/json", "/input/source/certificate"}
	headers := []string{"/input/request/headers/referer", "/input/request/headers/x-api-key",
		"/input/request/headers/x~1token", "/input/request/header_values/x-api-key",
		"/input/request/header_values/x~1token"}
	for name, v := range map[string]struct {
		masks  Masks
		erased []string
		has    map[string]string // by a path of names, what is left as JSON; "" for nothing
	}{
		"default": {Masks{}, append(append([]string{}, base...), headers...), map[string]string{
			"request.query": "", "request.body": `{"present":true}`, "request.headers": `{"x-plan":"gold"}`,
			"token.claims.email": `"a@example.com"`}},
		"more": {Masks{More: []string{"/input/token/claims/email", "/input/token/claims/nothing",
			"/input/token/claims/roles/0"}}, append(append(append([]string{}, base...), "/input/token/claims/email"),
			headers...),
			map[string]string{"token.claims": `{"roles":["x"]}`}},
		"keep a part": {Masks{Keep: []string{"/input/request/body/json/amount", "/input/request/body/json/card/kind"}},
			append(append([]string{}, base...), headers...),
			map[string]string{"request.body.json": `{"amount":7,"card":{"kind":"visa"}}`}},
		"keep all": {Masks{Keep: []string{"/input/request/query", "/input/request/body",
			"/input/request/headers/x-api-key", "/input/request/header_values/x-api-key"}},
			[]string{"/input/source/certificate", "/input/request/headers/referer", "/input/request/headers/x~1token",
				"/input/request/header_values/x~1token"},
			map[string]string{"request.query": `{"q":["1"]}`, "request.headers": `{"x-api-key":"k","x-plan":"gold"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			whole := document(t)
			is, erased := v.masks.apply(whole)
			if !reflect.DeepEqual(erased, v.erased) {
				t.Errorf("erased %v;\nwant   %v", erased, v.erased)
			}
			if !reflect.DeepEqual(whole, document(t)) {
				t.Error("the document itself was changed")
			}
			for path, want := range v.has {
				var at any = is
				for _, name := range strings.Split(path, ".") {
					at = child(at, name)
				}
				text, err := json.Marshal(at)
				if err != nil {
					t.Fatal(err)
				}
				if want == "" {
					want = "null"
				}
				if string(text) != want {
					t.Errorf("%s is %s; want %s", path, text, want)
				}
			}
		})
	}
}

// A query is not kept in another header either, nor what stands in a place of no telling
// name.
func TestMaskedHeaders(t *testing.T) {
	for value, masked := range map[string]map[string]bool{
		"/a?code=SECRET":                {"x-original-path": true, "hx-current-url": true, "destination": true},
		"https://a.example.com/b?x=1#f": {"origin-url": true},
		"/a":                            {"x-original-path": false, "x-forwarded-uri": true},
		"?1":                            {"sec-ch-ua-mobile": false},
		"what? no":                      {"x-note": false},
		"a=b; c=d":                      {"x-pairs": false},
		"bearer.SECRET":                 {"sec-websocket-protocol": true},
	} {
		for name, want := range masked {
			in := map[string]any{"request": map[string]any{"headers": map[string]any{name: value},
				"header_values": map[string]any{name: []any{"/", value}}}}
			is, erased := Masks{}.apply(in)
			_, one := child(child(is["request"], "headers"), name).(string)
			_, all := child(child(is["request"], "header_values"), name).([]any)
			if one == want || all == want || (len(erased) == 2) != want {
				t.Errorf("%s: %s: %v %v", name, value, is, erased)
			}
			if kept, _ := (Masks{Keep: []string{"/input/request/headers/" + name}}).apply(in); child(
				child(kept["request"], "headers"), name) == nil {
				t.Errorf("%s: %s is not kept", name, value)
			}
		}
	}
}

// Whatever a line holds, it is an entry with everything that judging needs, or an error.
func FuzzParse(f *testing.F) {
	f.Add(
		`{"decision_id":"d","decided_at":"2026-01-01T00:00:00Z","policy_revision":"r","input":{"request":{"method":"GET","path":"/"}},"caller":{"presented":true},"outcome":{"result":"allow","reason":"ok"}}`)
	f.Add(
		`{"decision_id":"d","timestamp":"2026-01-01T00:00:00Z","input":{"request":{}},"custom":{"stepward":{"caller":{},"outcome":{}}}}`)
	f.Add(`{"decision_id":"d","result":true}`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse([]byte(text))
		if err != nil {
			if !reflect.DeepEqual(e, Entry{}) {
				t.Fatal("an error, and an entry")
			}
			return
		}
		if e.Time.IsZero() || e.Input == nil {
			t.Fatalf("%+v", e)
		}
		if q, err := e.Question(); err == nil && q.Token != nil && q.Request.Path != "" && e.Input["request"] == nil {
			t.Fatal("a question of no request")
		}
	})
}
