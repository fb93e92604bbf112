package memo

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// lists returns lists of up to three texts. Some of the texts read like lengths of others.
func lists() [][]string {
	words := []string{"", "a", "\x01", "\x01a", "\x00"}
	all := [][]string{nil}
	for _, a := range words {
		all = append(all, []string{a})
		for _, b := range words {
			all = append(all, []string{a, b}, []string{b, a, b})
		}
	}
	return all
}

// Two inputs that differ in a feature have two keys, however their texts are cut.
func TestKeysAreApart(t *testing.T) {
	segments, _ := NewWhole([]string{"request", "segments"}, "x-stepward-")
	query, _ := NewWhole([]string{"request", "query", "q"}, "x-stepward-")
	header, _ := NewWhole([]string{"request", "headers", "a"}, "x-stepward-")
	values, _ := NewWhole([]string{"request", "header_values", "b"}, "x-stepward-")
	m := New([]Feature{segments, query, header, values}, 64)
	seen := map[string]string{}
	for _, s := range lists() {
		for _, q := range lists() {
			for _, h := range []string{"", "a", "\x01", "\x00"} {
				for there := range 2 {
					in := policy.Input{Request: request.Request{Segments: s, Query: map[string][]string{"q": q},
						Headers: request.Headers{"b": {h}}}}
					if there == 1 {
						in.Request.Headers["a"] = []string{h}
					}
					key, ok := m.Key(nil, &in)
					if !ok {
						t.Fatalf("%q has no key", s)
					}
					says := fmt.Sprintf("%q %q %q %d", s, q, h, there)
					if len(s) == 0 {
						says = fmt.Sprintf("[] %q %q %d", q, h, there)
					}
					if was, taken := seen[string(key)]; taken && was != says {
						t.Fatalf("%s and %s have one key", was, says)
					}
					seen[string(key)] = says
				}
			}
		}
	}
}

// A value that may differ the next time has no key, and neither has one that is too long.
func TestNoKey(t *testing.T) {
	path, _ := NewWhole([]string{"request", "path"}, "x-stepward-")
	numbered := &token.Token{Serial: token.Serial{Of: 1, N: 1}}
	for name, c := range map[string]struct {
		in policy.Input
		ok bool
	}{
		"nobody":                {policy.Input{}, true},
		"a token with a number": {policy.Input{Token: numbered}, true},
		"a token without one":   {policy.Input{Token: &token.Token{}}, false},
		"a path of 1 KB": {policy.Input{Request: request.Request{Path: "/" + string(make([]byte, 1<<10))}},
			true},
		"a path of 2 KB": {policy.Input{Request: request.Request{Path: "/" + string(make([]byte, 2<<10))}},
			false},
	} {
		if _, ok := New([]Feature{Caller{}, path}, 64).Key(nil, &c.in); ok != c.ok {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

// Members that no key can hold are refused when the policy is loaded.
func TestMembers(t *testing.T) {
	for path, ok := range map[string]bool{
		"request": false, "": false, "request.body": false, "request.body.json": false, "request.headers": false,
		"token":            false,
		"request.method.x": false, "request.segments.-1": false, "request.segments.01": false,
		"request.segments.x": false,
		"request.segments.0": true, "request.segments": true, "request.query": true, "request.query.a.b": true,
		"request.size":      true,
		"request.headers.x": true, "request.header_values.x": true, "route.extensions": true, "route.metadata": false,
		"source":         false,
		"source.address": true, "tls.sni": true, "tls": false,
	} {
		if _, got := NewWhole(strings.FieldsFunc(path, func(r rune) bool { return r == '.' }),
			"x-stepward-"); got != ok {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// A credential is not part of a key, since no policy sees it.
func TestHiddenHeadersAreAbsent(t *testing.T) {
	for _, name := range []string{"authorization", "cookie", "dpop", "x-stepward-subject"} {
		for _, member := range []string{"headers", "header_values"} {
			f, ok := NewWhole([]string{"request", member, name}, "x-stepward-")
			with := policy.Input{Request: request.Request{Headers: request.Headers{name: {"secret"}}}}
			a, _ := f.append(nil, &with)
			b, _ := f.append(nil, &policy.Input{})
			if !ok || string(a) != string(b) {
				t.Errorf("%s.%s makes a difference", member, name)
			}
		}
	}
}

// A memo holds two generations and no more, and keeps the results that are used.
func TestGenerations(t *testing.T) {
	m := New(nil, 10)
	kept := []byte("kept")
	m.Keep(kept, policy.Result{Deny: []stepup.Denial{{Code: "kept"}}})
	for i := range 1000 {
		m.Keep(fmt.Appendf(nil, "k%d", i), policy.Result{})
		if r, ok := m.Find(kept); !ok || r.Deny[0].Code != "kept" {
			t.Fatalf("what is asked for is gone after %d others", i)
		}
		if m.Len() > 20 {
			t.Fatalf("%d results", m.Len())
		}
	}
	if _, ok := m.Find([]byte("k0")); ok {
		t.Error("the first of a thousand is still there")
	}
	if New(nil, 0) != nil {
		t.Error("a memo of no size")
	}
}

func TestConcurrent(t *testing.T) {
	m := New([]Feature{Depth{}}, 4)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 500 {
				in := policy.Input{Request: request.Request{Segments: make([]string, (i+worker)%12)}}
				key, _ := m.Key(nil, &in)
				code := fmt.Sprint(len(in.Request.Segments))
				if r, ok := m.Find(key); ok && r.Deny[0].Code != code {
					t.Errorf("%s segments: %s", code, r.Deny[0].Code)
				}
				m.Keep(key, policy.Result{Deny: []stepup.Denial{{Code: code}}})
			}
		})
	}
	all.Wait()
}
