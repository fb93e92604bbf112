package rego_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// asked puts a request of alice's to p.
func asked(t testing.TB, p *rego.Policy) (policy.Result, error) {
	t.Helper()
	return p.Evaluate(t.Context(), policy.Input{
		Request: request.Request{Method: "POST", Host: "app.example.com", Path: "/pay", Segments: []string{"pay"}},
		Token:   &token.Token{Subject: "alice", Claims: map[string]any{"sub": "alice", "tenant": "acme"}},
	})
}

const baseRule = "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"authenticated\"}\n\n"

// readings lists ways in which a rule can reach data.risk. While the data is there, each
// holds for alice or is silent; without it none may be silent.
var readings = map[string]string{
	"a member":                           `require contains {"level": "mfa"} if data.risk.alice.score > 50`,
	"by a computed name":                 `require contains {"level": "mfa"} if data.risk[input.token.subject].score > 50`,
	"equality, by index":                 `require contains {"level": "mfa"} if data.risk.alice.score == 80`,
	"some in":                            "require contains {\"level\": \"mfa\"} if {\n\tsome who, r in data.risk\n\twho == input.token.subject\n\tr.score > 50\n}",
	"iteration":                          `require contains {"level": "mfa"} if data.risk[_].score > 50`,
	"every":                              "require contains {\"level\": \"mfa\"} if {\n\tevery r in data.risk {\n\t\tr.score > 50\n\t}\n}",
	"in":                                 `require contains {"level": "mfa"} if {"score": 80} in data.risk`,
	"not":                                `require contains {"level": "mfa"} if not data.risk.bob`,
	"not of a helper":                    "safe if data.risk.alice.score < 50\n\nrequire contains {\"level\": \"mfa\"} if not safe",
	"object.get":                         `require contains {"level": "mfa"} if object.get(data.risk, ["alice", "score"], 0) > 50`,
	"count":                              `require contains {"level": "mfa"} if count(data.risk) > 0`,
	"walk":                               "require contains {\"level\": \"mfa\"} if {\n\twalk(data.risk, [_, v])\n\tv == 80\n}",
	"a comprehension":                    `require contains {"level": "mfa"} if count({x | some x in data.risk}) > 0`,
	"an array comprehension of a helper": "all := [x.score | some x in data.risk]\n\nrequire contains {\"level\": \"mfa\"} if max(all) > 50",
	"a default rule":                     "default risky := false\n\nrisky if data.risk.alice.score > 50\n\nrequire contains {\"level\": \"mfa\"} if risky",
	"else":                               "risky := true if {\n\tdata.risk.alice.score > 50\n} else := false\n\nrequire contains {\"level\": \"mfa\"} if risky",
	"a function":                         "score(who) := data.risk[who].score\n\nrequire contains {\"level\": \"mfa\"} if score(input.token.subject) > 50",
	"an argument":                        "over(table) if table.alice.score > 50\n\nrequire contains {\"level\": \"mfa\"} if over(data.risk)",
	"an import":                          "require contains {\"level\": \"mfa\"} if table.alice.score > 50",
	"with another's value":               "over if data.risk.alice.score > data.limits.most\n\nrequire contains {\"level\": \"mfa\"} if over with data.limits as {\"most\": 50}",
	"deny":                               `deny contains {"code": "risk"} if data.risk.alice.score > 50`,
	"a head":                             `require contains data.risk.alice.require`,
	"a header":                           `headers["x-score"] := sprintf("%v", [data.risk.alice.score])`,
	"union":                              `require contains {"level": "mfa"} if count(object.union(data.risk, {})) > 0`,
	"a set of keys":                      `require contains {"level": "mfa"} if "alice" in object.keys(data.risk)`,
}

const riskData = `{"risk": {"alice": {"score": 80, "require": {"level": "mfa"}}}, "limits": {"most": 50}}`

// A rule of any form that reaches data which cannot be believed ends in an error. The error
// names the data and its age, and none of its content.
func TestUnknownDataIsNeverSilent(t *testing.T) {
	at := time.Date(2026, 11, 28, 4, 0, 0, 0, time.UTC)
	for name, rule := range readings {
		t.Run(name, func(t *testing.T) {
			text := baseRule + rule + "\n"
			if name == "an import" {
				text = strings.Replace(text, "import rego.v2\n", "import rego.v2\n\nimport data.risk as table\n", 1)
			}
			p, err := load(t, rego.Options{}, text, riskData)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := asked(t, p); err != nil {
				t.Errorf("fresh: %v", err)
			}
			stale, err := load(t, rego.Options{Unknown: map[string]time.Time{"risk": at}}, text, riskData)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := asked(t, stale); err == nil || !strings.Contains(
				err.Error(), "data.risk is stale (as of 2026-11-28T04:00:00Z)") || strings.Contains(err.Error(), "80") {
				t.Errorf("stale: %+v, %v", r, err)
			}
			missing, err := load(t, rego.Options{Optional: []string{"risk"}}, text, `{"limits": {"most": 50}}`)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := asked(t, missing); err == nil || !strings.Contains(err.Error(), "data.risk is not there") {
				t.Errorf("missing: %+v, %v", r, err)
			}
			if _, err := load(t, rego.Options{}, text, `{"limits": {"most": 50}}`); err == nil || !strings.Contains(
				err.Error(), "data_missing") {
				t.Errorf("provided by nobody: %v", err)
			}
			if _, err := load(t, rego.Options{}, text, `{"risk": null, "limits": {"most": 50}}`); err == nil ||
				!strings.Contains(err.Error(), "d1.json:1:10: data.risk is null") {
				t.Errorf("null: %v", err)
			}
		})
	}
}

// A rule that asks first is not held up, also where OPA's index would look at the data
// before the rule asks; and with data in its place it reads that.
func TestWhoAsksIsAnswered(t *testing.T) {
	for name, c := range map[string]struct{ rules, want string }{
		"asked first": {
			"require contains {\"level\": \"mfa\"} if data.stepward.unknown.risk\n\nrequire contains {\"level\": \"phishing-resistant\"} if {\n\tnot data.stepward.unknown.risk\n\tdata.risk.alice.score > 50\n}", "mfa"},
		"asked by an index": {
			"require contains {\"level\": \"mfa\"} if data.stepward.unknown.risk\n\nrequire contains {\"level\": \"phishing-resistant\"} if {\n\tnot data.stepward.unknown.risk\n\tdata.risk.alice.score == 80\n}\n\nrequire contains {\"level\": \"password\"} if {\n\tnot data.stepward.unknown.risk\n\tdata.risk.alice.score == 1\n}", "mfa"},
		"read by another": {
			"require contains {\"level\": \"mfa\"} if data.stepward.unknown.risk\n\nrequire contains {\"level\": \"phishing-resistant\"} if data.risk.alice.score == 80", "error"},
		"with a value": {
			"risky if data.risk.alice.score == 80\n\nrequire contains {\"level\": \"mfa\"} if risky with data.risk as {\"alice\": {\"score\": 80}}", "mfa"},
		"with a value, inside": {
			"risky if data.risk.alice.score == 80\n\nrequire contains {\"level\": \"mfa\"} if risky with data.risk.alice as {\"score\": 80}", "mfa"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, rego.Options{Unknown: map[string]time.Time{"risk": {}}}, baseRule+c.rules, riskData)
			if err != nil {
				t.Fatal(err)
			}
			r, err := asked(t, p)
			is := "error"
			if err == nil {
				is = ""
				for _, x := range r.Require {
					if x.Level != "authenticated" {
						is += x.Level
					}
				}
			}
			if is != c.want {
				t.Errorf("%s, %v; want %s", is, err, c.want)
			}
		})
	}
}

// What a rule reads by a path that is written out is there, and is something that has
// members where the rule looks for them.
func TestReadsAreProvided(t *testing.T) {
	for name, c := range map[string]struct{ rule, data, want string }{
		"a misspelt name": {`require contains {"level": "mfa"} if data.rsk.alice`, riskData,
			`p0.rego:7:38: data.rsk is provided by no file or bundle (did you mean "risk"?)`},
		"a misspelt member": {`require contains {"level": "mfa"} if data.limits.mots < 3`, riskData,
			`has no such member (did you mean "most"?)`},
		"beyond a list": {`require contains {"level": "mfa"} if data.l[3] == 1`, `{"l": [1]}`,
			"is a list of 1 elements"},
		"a text for a list": {`require contains {"level": "mfa"} if input.request.path in data.l`,
			`{"l": "/pay"}`, "d1.json:1:7: data.l is a text, and the rule at p0.rego:7 looks for members in it"},
		"a text for a table": {
			`require contains {"level": "mfa"} if { some e in data.l; e.path == input.request.path }`, `{"l": "/pay"}`,
			"data.l is a text"},
		"a number, deep": {`require contains {"level": "mfa"} if data.l.a.b == 1`, `{"l": {"a": 7}}`,
			"data.l.a is a number"},
		"null, deep": {`require contains {"level": "mfa"} if data.l.a[_] == 1`, `{"l": {"a": null}}`,
			"data.l.a is null"},
		"an unknown name": {`require contains {"level": "mfa"} if data.stepward.unknown.rsk`, riskData,
			`asks for data that no file or bundle provides (did you mean "risk"?)`},
		"a rule that is none": {`require contains {"level": "mfa"} if data.stepward.policy.transfr`, riskData,
			"is no rule, and no data"},
		"a computed name": {`require contains {"level": "mfa"} if data[input.request.segments[0]].x`, riskData,
			""},
		"all of data": {"require contains {\"level\": \"mfa\"} if {\n\twalk(data, [_, v])\n\tv == 80\n}",
			riskData, ""},
		"data of its own name": {`require contains {"level": "mfa"}`, `{"stepward": {"unknown": {"risk": {}}}}`,
			"data.stepward is in a file or bundle already"},
		"only in a function": {"f(x) if data.nowhere[x]\n\nrequire contains {\"level\": \"mfa\"} if f(1)",
			riskData, "data.nowhere is provided by no file"},
		"only in a helper": {"h if data.nowhere.x\n\nrequire contains {\"level\": \"mfa\"} if not h", riskData,
			"data.nowhere is provided by no file"},
		"only in a comprehension": {"require contains {\"level\": \"mfa\"} if count([1 | data.nowhere.x]) == 0",
			riskData, "data.nowhere is provided by no file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, rego.Options{}, baseRule+c.rule, c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ rule, data string }{
		"rules' own": {"l := [1]\n\nrequire contains {\"level\": \"mfa\"} if 1 in data.stepward.policy.l",
			`{}`},
		"what may be missing": {`require contains {"level": "mfa"} if object.get(data.limits, "none", 1) == 1`,
			riskData},
		"a computed member": {`require contains {"level": "mfa"} if data.risk[input.token.subject].score > 50`,
			riskData},
	} {
		if _, err := load(t, rego.Options{}, baseRule+c.rule, c.data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What has no members where a rule looks for them is an error when the rule comes there.
func TestMistypedDataIsNeverSilent(t *testing.T) {
	const rule = `require contains {"level": "mfa"} if data.risk[input.token.subject].score > 50`
	for data, want := range map[string]string{
		`{"risk": {"alice": {"score": 80}}}`: "mfa",
		`{"risk": {"alice": 80}}`:            "error",
		`{"risk": {"alice": "80"}}`:          "error",
		`{"risk": {"alice": true}}`:          "error",
		`{"risk": {"alice": null}}`:          "error",
	} {
		p, err := load(t, rego.Options{}, baseRule+rule, data)
		if err != nil {
			t.Fatal(err)
		}
		r, err := asked(t, p)
		is := fmt.Sprint(len(r.Require))
		if want == "mfa" && (err != nil || is != "2") || want == "error" &&
			(err == nil || !strings.Contains(err.Error(), "something in data.risk is ")) {
			t.Errorf("%s: %s, %v; want %s", data, is, err, want)
		}
	}
}
