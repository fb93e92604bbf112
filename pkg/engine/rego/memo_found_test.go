package rego_test

import (
	"fmt"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// Names that hold any character are told apart.
func TestMemoOfOddNames(t *testing.T) {
	text := `package stepward.policy

import rego.v2

require contains {"level": "anonymous"}

deny contains {"code": "x"} if { input.request.query["q\u0000z"]; not input.request.query.q["z"] }

deny contains {"code": "y"} if { input.request.query["q z"]; not input.request.query.q["z"] }
`
	with, without, ok := both(t, files(text), 64)
	if !ok {
		t.Fatal("the policy does not load")
	}
	var all []policy.Input
	for _, q := range []map[string][]string{{}, {"q\x00z": {"1"}}, {"q z": {"1"}}, {"q": {"z"}}} {
		all = append(all, policy.Input{Request: request.Request{Method: "GET", Query: q}})
	}
	agree(t, text, with, without, all)
}

// A rule in another package may stand below the library's: the table is then looked at
// whole, since that rule may match what no entry spells out.
func TestTablesBesideRulesOfOthers(t *testing.T) {
	const text = `package stepward.policy

import rego.v2

require contains {"level": "anonymous"}

deny contains {"code": "matched"} if {
	some entry in data.routes
	data.stepward.lib.routes.matches(entry, input.request)
}
`
	const more = `package stepward.lib

import rego.v2

routes.matches(entry, request) if { entry.path; request.headers["x-a"] == "1" }
`
	for _, size := range []int{0, 64} {
		with, _, ok := both(t, []rego.Source{{Name: "policy.rego", Text: []byte(text)},
			{Name: "more.rego", Bundled: true, Text: []byte(more)},
			{Name: "data.json", Text: []byte(`{"routes": [{"path": "/pay"}]}`)}}, size)
		if !ok {
			t.Fatal("the policy does not load")
		}
		for header, denials := range map[string]int{"1": 1, "2": 0} {
			for range 2 {
				r, err := with.Evaluate(t.Context(), policy.Input{Request: request.Request{Method: "GET", Path: "/other",
					Segments: []string{"other"}, Headers: request.Headers{"x-a": {header}}}})
				if err != nil || len(r.Deny) != denials {
					t.Errorf("memo of %d, x-a %s: %d denials, %v", size, header, len(r.Deny), err)
				}
			}
		}
	}
}

// Functions by which the clock decides are not there.
func TestNoFunctionReadsTheClock(t *testing.T) {
	for call, there := range map[string]bool{
		`crypto.x509.parse_and_verify_certificates(input.source.certificate)[0]`:                  false,
		`crypto.x509.parse_and_verify_certificates_with_options(input.source.certificate, {})[0]`: false,
		`io.jwt.decode_verify(input.request.host, {})[0]`:                                         false,
		`time.now_ns() > 0`: false,
		`crypto.x509.parse_certificates(input.source.certificate)[0].Subject.CommonName == "x"`: true,
	} {
		_, err := load(t, rego.Options{}, fmt.Sprintf("package stepward.policy\n\nimport rego.v2\n\n"+
			"require contains {\"level\": \"anonymous\"}\n\ndeny contains {\"code\": \"x\"} if %s\n", call))
		if (err == nil) != there {
			t.Errorf("%s: %v", call, err)
		}
	}
}
