package divergence

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// A comparison says who asked for what, in groups that name nobody, and why the other
// policy failed.
func TestCompare(t *testing.T) {
	q := authz.Question{Time: time.Unix(7, 0), Request: request.Request{
		Method: "GET", Segments: []string{"users", "12345"}, Kind: request.Navigation}}
	was := outcome(stepup.ResultAllow, stepup.OK, nil)
	c := Compare(q, was, authz.Judgement{Decision: stepup.Deny{Why: stepup.PolicyDenied, Denial: stepup.Denial{
		Rule: "new"}}})
	if c.Kind() != NewlyRefused || c.Route != "/users/{}" || c.Method != "GET" || c.Client != "navigation" ||
		c.Issuer != "" || c.Fault != "" || c.Rule() != "new" || !c.Time.Equal(q.Time) {
		t.Errorf("%+v", c)
	}
	q.Token = &token.Token{IssuerName: "corp", Principal: token.Client}
	c = Compare(q, was, authz.Judgement{Fault: errors.New("divided by zero"), Decision: stepup.Deny{
		Why: stepup.PolicyError}})
	if c.Kind() != NewlyFailing || c.Client != "program" || c.Issuer != "corp" || c.Fault != "divided by zero" {
		t.Errorf("%+v", c)
	}
	q.Token.Principal = token.User
	if c = Compare(q, was, authz.Judgement{Decision: stepup.Allow{}}); c.Kind() != Same || c.Client != "navigation" {
		t.Errorf("%+v", c)
	}
}

// What lets somebody in, or nearer, is weaker; every kind has words of its own.
func TestKinds(t *testing.T) {
	weaker := map[Kind]bool{NewlyAllowed: true, NoLongerChallenged: true, NoLongerRefused: true}
	said := map[string]Kind{}
	for _, k := range append(Kinds(), Same) {
		if k.Weaker() != weaker[k] {
			t.Errorf("%s is weaker: %v", k, k.Weaker())
		}
		if other, there := said[k.String()]; there || k.String() == string(k) {
			t.Errorf("%s is said as %q, as is %s", string(k), k.String(), string(other))
		}
		said[k.String()] = k
	}
	if Kind("new").String() != "new" {
		t.Errorf("%s", Kind("new").String())
	}
}

// counted returns a report of one decision that is the same and three that differ.
func counted() Report {
	var tally Tally
	seconds := int64(300)
	allow := outcome(stepup.ResultAllow, stepup.OK, nil)
	challenge := outcome(stepup.ResultChallenge, stepup.InsufficientLevel, func(o *decisionlog.Outcome) {
		o.ACRValues, o.MaxAge = []string{"2", "3"}, &seconds
	})
	for n, c := range []Comparison{
		{Was: allow, Is: allow}, {Was: allow, Is: challenge}, {Was: allow, Is: challenge, Erased: true},
		{Was: allow, Is: outcome(stepup.ResultError, stepup.PolicyError, nil), Fault: "divided by zero"},
	} {
		c.DecisionID, c.Time, c.Revision, c.Method, c.Client, c.Issuer = "d"+string(rune('0'+n)),
			time.Unix(1_800_000_000+int64(n), 0), "r1", "GET", "fetch", "corp"
		c.Route = []string{"/same", "/pay", "/pay", "/fails"}[n]
		tally.Add(c)
	}
	tally.Leave("behind", 2)
	return tally.Report("r2")
}

// A terminal shows what differs, the most frequent first, and what was not compared.
func TestPrintText(t *testing.T) {
	r := counted()
	r.Suspended = true
	var b strings.Builder
	if err := r.Print(&b, "text"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	text := strings.Join(lines, "\n")
	at := 0
	for _, want := range []string{
		"policy r2, on 4 decisions from 2027-01-15 08:00:00 to 2027-01-15 08:00:03", "4 made by r1",
		"2 50.00 % newly challenged", "1 25.00 % newly failing (503)", "1 25.00 % answered the same",
		"2 not compared: behind", "1 compared without what is masked", "The policy failed so often", "by route",
		"GET /pay 2 of 2 2 newly challenged", "GET /fails 1 of 1",
		"by rule", "rule of challenge 2 of 2", "by client", "fetch 3 of 4", "by issuer", "corp 3 of 4", "why it fails",
		"1 divided by zero", "examples",
		"newly challenged GET /pay fetch allow → challenge insufficient_level acr 2|3 within 300 s d1",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("%q is not there, or too early:\n%s", want, text)
		}
		at += i
	}
	if strings.Contains(text, "/same") {
		t.Error("what is the same is among what differs")
	}
	if r.Differences() != 3 || r.Share(NewlyChallenged) != 0.5 {
		t.Errorf("%d differ, %v", r.Differences(), r.Share(NewlyChallenged))
	}
}

// A report of nothing is one, in every format; a writer's error is Print's.
func TestPrintNothing(t *testing.T) {
	var tally Tally
	r := tally.Report("r2")
	for _, format := range Formats {
		var b strings.Builder
		if err := r.Print(&b, format); err != nil || !strings.Contains(b.String(), "r2") {
			t.Errorf("%s: %v, %q", format, err, b.String())
		}
		if err := counted().Print(full{}, format); err == nil {
			t.Errorf("%s: nobody is told that it was not written", format)
		}
	}
	if r.Share(Same) != 0 || r.Differences() != 0 {
		t.Errorf("%+v", r)
	}
}

// full is a writer that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// A terminal shows some of many groups, and says how many there are more.
func TestManyGroups(t *testing.T) {
	var tally Tally
	for n := range shownGroups + 4 {
		tally.Add(Comparison{Route: "/" + strings.Repeat("x", n), Was: outcome(stepup.ResultAllow, stepup.OK, nil),
			Is: outcome(stepup.ResultDeny, stepup.PolicyDenied, nil)})
	}
	var b strings.Builder
	if err := tally.Report("r2").Print(&b, "text"); err != nil || !strings.Contains(b.String(), "… and 4 more") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
