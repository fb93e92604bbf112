package divergence

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/stepup"
)

func outcome(result stepup.Result, reason stepup.Reason, change func(*decisionlog.Outcome)) decisionlog.Outcome {
	o := decisionlog.Outcome{Result: result, Reason: reason, Rule: "rule of " + string(result)}
	if change != nil {
		change(&o)
	}
	return o
}

func TestKind(t *testing.T) {
	age := func(seconds int64) func(*decisionlog.Outcome) {
		return func(o *decisionlog.Outcome) { o.MaxAge = &seconds }
	}
	allow := outcome(stepup.ResultAllow, stepup.OK, nil)
	preflight := outcome(stepup.ResultPreflight, stepup.OK, nil)
	challenge := outcome(stepup.ResultChallenge, stepup.InsufficientLevel, nil)
	redirect := outcome(stepup.ResultRedirect, stepup.InsufficientLevel, nil)
	nobody := outcome(stepup.ResultChallenge, stepup.NoCredentials, nil)
	deny := outcome(stepup.ResultDeny, stepup.PolicyDenied, nil)
	fault := outcome(stepup.ResultError, stepup.PolicyError, nil)
	for _, v := range []struct {
		was, is decisionlog.Outcome
		kind    Kind
		rule    string
	}{
		{allow, allow, Same, "rule of allow"},
		{allow, preflight, Same, "rule of preflight"},
		{allow, challenge, NewlyChallenged, "rule of challenge"},
		{allow, redirect, NewlyChallenged, "rule of redirect"},
		{allow, deny, NewlyRefused, "rule of deny"},
		{allow, fault, NewlyFailing, "rule of error"},
		{challenge, allow, NoLongerChallenged, "rule of challenge"},
		{challenge, challenge, Same, "rule of challenge"},
		{challenge, redirect, Same, "rule of redirect"},
		{challenge, nobody, AskedOtherwise, "rule of challenge"},
		{challenge, deny, NewlyRefused, "rule of deny"},
		{deny, allow, NewlyAllowed, "rule of deny"},
		{deny, challenge, NoLongerRefused, "rule of deny"},
		{deny, deny, Same, "rule of deny"},
		{deny, outcome(stepup.ResultDeny, stepup.PolicyNoMatch, nil), AskedOtherwise, "rule of deny"},
		{fault, allow, NoLongerFailing, "rule of allow"},
		{fault, fault, Same, "rule of error"},
		{decisionlog.Outcome{}, allow, NoLongerFailing, "rule of allow"}, // what is not known is no allow
		{outcome(stepup.ResultChallenge, stepup.StaleAuthentication, age(300)),
			outcome(stepup.ResultChallenge, stepup.StaleAuthentication, age(300)), Same, "rule of challenge"},
		{outcome(stepup.ResultChallenge, stepup.StaleAuthentication, age(300)),
			outcome(stepup.ResultChallenge, stepup.StaleAuthentication, age(60)), AskedOtherwise, "rule of challenge"},
		{outcome(stepup.ResultChallenge, stepup.StaleAuthentication, age(0)),
			outcome(stepup.ResultChallenge, stepup.StaleAuthentication, nil), AskedOtherwise, "rule of challenge"},
		{challenge, outcome(stepup.ResultChallenge, stepup.InsufficientLevel, func(o *decisionlog.Outcome) {
			o.ACRValues = []string{"2"}
		}), AskedOtherwise, "rule of challenge"},
	} {
		c := Comparison{Was: v.was, Is: v.is}
		if c.Kind() != v.kind || c.Rule() != v.rule {
			t.Errorf("%s %s → %s %s: %s by %q; want %s by %q", v.was.Result, v.was.Reason, v.is.Result, v.is.Reason,
				c.Kind(), c.Rule(), v.kind, v.rule)
		}
	}
}

func TestRoute(t *testing.T) {
	for _, v := range []struct {
		segments []string
		want     string
	}{
		{nil, "/"},
		{[]string{"payments"}, "/payments"},
		{[]string{"payments", "12345"}, "/payments/{}"},
		{[]string{"api", "v1", "users"}, "/api/v1/users"},
		{[]string{"users", "alice@example.com"}, "/users/{}"},
		{[]string{"o", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "x"}, "/o/{}/x"},
		{[]string{"shop.v1.Payments", "Pay"}, "/shop.v1.Payments/Pay"},
		{[]string{"a", "b", "c", "d", "e"}, "/a/b/c/d/…"},
		{[]string{"josé"}, "/{}"},
		{[]string{""}, "/"},
	} {
		if is := Route(v.segments); is != v.want {
			t.Errorf("%q: %s; want %s", v.segments, is, v.want)
		}
	}
}

// However many routes, rules and faults there are, a tally keeps a bounded number of
// them, and loses no count.
func TestTallyIsBounded(t *testing.T) {
	var tally Tally
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for n := range 2000 {
				name := fmt.Sprintf("w%dn%d", w, n)
				tally.Add(Comparison{
					DecisionID: name, Time: time.Unix(int64(n), 0), Revision: name, Method: "GET", Route: "/" + name,
					Client: name, Issuer: name, Fault: name,
					Was: outcome(stepup.ResultAllow, stepup.OK, nil), Is: decisionlog.Outcome{
						Result: stepup.ResultError, Rule: name},
				})
				tally.Leave(name, 1)
			}
		})
	}
	all.Wait()
	r := tally.Report("next")
	if r.Decisions != 8000 || r.Kinds[NewlyFailing] != 8000 || len(r.Samples) != maxExamples ||
		r.Samples[0].Time != time.Unix(0, 0) {
		t.Errorf("%d decisions, %v, %d samples", r.Decisions, r.Kinds, len(r.Samples))
	}
	for name, groups := range map[string][]Group{"routes": r.Routes, "rules": r.Rules, "clients": r.Clients,
		"issuers": r.Issuers} {
		sum := int64(0)
		for _, g := range groups {
			sum += g.Decisions
		}
		if len(groups) > maxGroups+1 || sum != 8000 || groups[0].Name != others {
			t.Errorf("%s: %d groups of %d decisions, %s first", name, len(groups), sum, groups[0].Name)
		}
	}
	if len(r.Left) > 21 || len(r.Against) > 21 || len(r.Faults) > 21 {
		t.Errorf("%d, %d, %d", len(r.Left), len(r.Against), len(r.Faults))
	}
}

// Whatever a log holds, a terminal shows it and does not obey it, and the page has no
// markup of it.
func TestPrintedLogsAreText(t *testing.T) {
	evil := "\x1b]0;owned\a\u009b2J\u202e\n<script>"
	o := decisionlog.Outcome{Result: stepup.Result(evil), Reason: stepup.Reason(evil), Rule: evil, ACRValues: []string{
		evil}}
	var tally Tally
	tally.Add(Comparison{DecisionID: evil, Revision: evil, Method: evil, Route: evil, Client: evil, Issuer: evil,
		Fault: evil, Was: o, Is: decisionlog.Outcome{Result: stepup.ResultAllow, Rule: evil}})
	tally.Leave(evil, 1)
	for format, bad := range map[string]string{"text": "\x1b\a\u009b\u202e", "json": "\x1b\a", "html": ""} {
		var b strings.Builder
		if err := tally.Report(evil).Print(&b, format); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), bad) || format == "html" && strings.Contains(b.String(), "<script>") ||
			!strings.Contains(b.String(), "owned") {
			t.Errorf("%s: %q", format, b.String())
		}
	}
}
