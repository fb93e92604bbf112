package rego_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// agree asks both policies, the one with a memo twice.
func agree(t testing.TB, source string, with, without *rego.Policy, all []policy.Input) {
	t.Helper()
	for _, in := range all {
		want, wrong := without.Evaluate(context.Background(), in)
		for range 2 {
			got, err := with.Evaluate(context.Background(), in)
			if (err == nil) != (wrong == nil) || !reflect.DeepEqual(got, want) {
				shown, _ := json.Marshal(in.Document("x-stepward-"))
				t.Fatalf("of %s\nthe memo says %+v (%v)\nthe rules say  %+v (%v)\nunder\n%s", shown, got, err, want,
					wrong, source)
			}
		}
	}
}

// compare makes a policy and requests of a seed. It returns whether the policy loads, and
// how much its memo holds in the end.
func compare(t testing.TB, seed uint64) (loaded bool, remembered int) {
	t.Helper()
	choose := rand.New(rand.NewPCG(seed, 1))
	text := policyOf(choose)
	sources := files(text)
	with, without, ok := both(t, sources, 1+choose.IntN(2)*choose.IntN(64))
	if !ok {
		return false, 0
	}
	agree(t, text, with, without, inputs(choose, 2))
	return true, with.Remembered()
}

// A memo never says what the rules would not: over policies of every condition that we can
// think of, and requests that differ in one thing.
func TestMemoAgreesWithTheRules(t *testing.T) {
	loaded, remembering := 0, 0
	for seed := range uint64(40) {
		ok, remembered := compare(t, seed)
		if ok {
			loaded++
		}
		if remembered > 0 {
			remembering++
		}
	}
	if loaded < 20 || remembering < 8 {
		t.Errorf("%d policies are loaded, and of %d something is remembered", loaded, remembering)
	}
}

func FuzzMemo(f *testing.F) {
	for _, seed := range []uint64{1, 1 << 20, 1 << 40} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, seed) })
}

// Each condition alone, since two in one rule may hide what the other is blind to.
func TestMemoOfEachCondition(t *testing.T) {
	choose := rand.New(rand.NewPCG(7, 7))
	var refused []string
	for _, c := range conditions {
		text := "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"anonymous\"}\n" + helpersOf(c) +
			"\ndeny contains {\"code\": \"x\"} if {\n\t" + c + "\n}\n"
		sources := files(text)
		with, without, ok := both(t, sources, 64)
		if !ok {
			refused = append(refused, c)
			continue
		}
		all := inputs(choose, 3)
		t.Run(c, func(t *testing.T) { agree(t, text, with, without, all) })
	}
	if len(refused) > len(conditions)/4 {
		t.Errorf("conditions that no policy loads with: %q", refused)
	}
}

// Which entries of a table are about a request is compared in Go: with tables of all kinds.
func TestMemoOfRouteTables(t *testing.T) {
	const text = `package stepward.policy

import rego.v2

require contains {"level": "anonymous"}

require contains entry.require if {
	some entry in data.routes
	data.stepward.lib.routes.matches(entry, input.request)
}
`
	choose := rand.New(rand.NewPCG(3, 3))
	some := func(values ...string) []string {
		var list []string
		for _, v := range values {
			if choose.IntN(3) == 0 {
				list = append(list, v)
			}
		}
		return list
	}
	for range 20 {
		var routes []map[string]any
		for i := range 12 {
			entry := map[string]any{"require": map[string]any{"level": "mfa", "reason": fmt.Sprint("entry ", i)}}
			var pattern []string
			for range choose.IntN(4) {
				pattern = append(pattern, []string{"pay", "admin", "7", "*", "x"}[choose.IntN(5)])
			}
			if choose.IntN(2) == 0 {
				pattern = append(pattern, "**")
			}
			entry["path"] = "/" + strings.Join(pattern, "/")
			for name, list := range map[string][]string{
				"methods": some("GET", "POST", "PUT"), "safe_methods": some("GET", "HEAD"),
				"hosts": some("a.example.com", "b.example.com"),
			} {
				if len(list) > 0 {
					entry[name] = list
				}
			}
			routes = append(routes, entry)
		}
		data, err := json.Marshal(map[string]any{"routes": routes})
		if err != nil {
			t.Fatal(err)
		}
		with, without, ok := both(t, []rego.Source{{Name: "policy.rego", Text: []byte(text)},
			{Name: "data.json", Text: data}}, 64)
		if !ok {
			t.Fatal("a table does not load")
		}
		agree(t, string(data), with, without, slices.DeleteFunc(inputs(choose, 3), func(in policy.Input) bool {
			return len(in.Routes) > 0
		}))
		if with.Remembered() == 0 {
			t.Error("nothing is remembered")
		}
	}
}

// The policies that people copy share lines: an id in a path is no reason to evaluate.
func TestShippedPoliciesShareLines(t *testing.T) {
	folders := []string{"../../../examples/quickstart/policies", "../../../policies/default",
		"../../../examples/policies/routes"}
	for _, dir := range folders {
		sources, err := rego.FromFS(os.DirFS(filepath.FromSlash(dir)))
		if err != nil {
			t.Fatal(err)
		}
		with, without, ok := both(t, sources, 64)
		if !ok {
			t.Fatalf("%s does not load", dir)
		}
		tok := &token.Token{Serial: token.Serial{Of: 1, N: 1}, Issuer: "https://idp.example.com",
			Scheme: credential.Bearer}
		for i := range 50 {
			segments := []string{"orders", fmt.Sprint(i)}
			in := policy.Input{Token: tok, Request: request.Request{Method: "GET", Host: "app.example.com",
				Path: "/orders/" + segments[1], Segments: segments}}
			agree(t, dir, with, without, []policy.Input{in})
		}
		if n := with.Remembered(); n != 1 {
			t.Errorf("%s: %d lines for one kind of request", dir, n)
		}
	}
}

// What failed is not remembered, and a caller who has gone is told so.
func TestMemoForgetsFailures(t *testing.T) {
	p, err := load(t, rego.Options{MemoSize: 64}, `package stepward.policy

import rego.v2

require contains {"level": "authenticated"} if input.request.method == "GET"

require contains {"level": x} if { input.request.method == "POST"; x := input.request.host }
`)
	if err != nil {
		t.Fatal(err)
	}
	ok, bad := policy.Input{Request: request.Request{Method: "GET"}},
		policy.Input{Request: request.Request{Method: "POST", Host: "nothing"}}
	for range 3 {
		if _, err := p.Evaluate(t.Context(), ok); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Evaluate(t.Context(), bad); err == nil {
			t.Fatal("a level that is not there")
		}
	}
	if n := p.Remembered(); n != 1 {
		t.Errorf("%d results are remembered", n)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Evaluate(gone, ok); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who has gone: %v", err)
	}
}
