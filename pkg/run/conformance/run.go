package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
)

// Result holds what a driver found for one case.
type Result struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Clause      string   `json:"clause"`
	Driver      string   `json:"driver"`
	Passed      bool     `json:"passed"`
	Unreachable string   `json:"unreachable,omitempty"` // why the driver cannot cause it
	Problems    []string `json:"problems,omitempty"`
}

// Report counts the results of a run.
type Report struct {
	Driver      string   `json:"driver"`
	Passed      int      `json:"passed"`
	Failed      int      `json:"failed"`
	Unreachable int      `json:"unreachable"`
	Results     []Result `json:"results"`
}

// Run carries out every case that filter matches, and calls each with the result.
func Run(ctx context.Context, d Driver, s Suite, filter *regexp.Regexp, each func(Result)) Report {
	report := Report{Driver: d.Name()}
	for _, c := range s.Cases {
		if ctx.Err() != nil {
			break
		}
		if filter != nil && !filter.MatchString(c.ID) {
			continue
		}
		r := RunCase(ctx, d, s, c)
		switch {
		case r.Unreachable != "":
			report.Unreachable++
		case r.Passed:
			report.Passed++
		default:
			report.Failed++
		}
		report.Results = append(report.Results, r)
		each(r)
	}
	return report
}

// RunCase carries out one case in every encoding that the driver can choose, and checks
// after each that a good request still passes.
func RunCase(ctx context.Context, d Driver, s Suite, c Case) Result {
	r := Result{ID: c.ID, Title: c.Title, Clause: c.Clause, Driver: d.Name()}
	for i := range d.Encodings() {
		o, err := answered(ctx, d, c, i == 1)
		if errors.Is(err, ErrUnreachable) {
			r.Unreachable = err.Error()
			return r
		}
		problems := []string{}
		if err != nil {
			problems = append(problems, err.Error())
		} else {
			problems = judge(c, o, d.Name() == "Envoy")
		}
		if f := s.Fixtures[c.fixture()]; f.Policy == "" && f.State == "" {
			good := Case{ID: c.ID, Fixture: c.Fixture, Request: Request{Target: "/public"}}
			if o, err := d.Do(ctx, good, i == 1); err != nil || !o.Allowed {
				problems = append(problems, fmt.Sprintf("the next good request is not let in: %d %s %v", o.Status,
					o.Reason, err))
			}
		}
		r.Problems = append(r.Problems, problems...)
	}
	r.Passed = len(r.Problems) == 0
	return r
}

// answered carries out a case like a client that adds a nonce when asked for one (RFC 9449
// §9). That happens if a service has only just begun to remember proofs.
func answered(ctx context.Context, d Driver, c Case, rawHeaders bool) (Outcome, error) {
	o, err := d.Do(ctx, c, rawHeaders)
	nonce := o.Headers.Get("dpop-nonce")
	if err != nil || c.Request.DPoP == nil || nonce == "" || o.Reason == c.Expect.Reason {
		return o, err
	}
	c.Request.DPoP = maps.Clone(c.Request.DPoP)
	c.Request.DPoP[".nonce"] = nonce
	return d.Do(ctx, c, rawHeaders)
}

// judge lists how an outcome differs from what a case expects.
func judge(c Case, o Outcome, envoy bool) []string {
	j := judgement{c: c, o: o}
	e := c.Expect
	if envoy && c.Envoy.Self {
		j.that(!o.Asked, "Stepward was asked (%s), though Envoy answers by itself", o.Reason)
		j.that(!o.Allowed, "the upstream was reached")
		j.that(o.Status == c.Envoy.Status, "Envoy answered %d; want %d", o.Status, c.Envoy.Status)
		return j.problems
	}
	if envoy && c.Envoy.Reason != "" {
		j.that(o.Reason == c.Envoy.Reason && o.Status == c.Envoy.Status, "%d %s; want %d %s, of the repaired request",
			o.Status, o.Reason, c.Envoy.Status, c.Envoy.Reason)
		j.that(!o.Allowed, "the upstream was reached")
		return j.problems
	}
	j.that(o.Reason == e.Reason, "reason %q; want %q", o.Reason, e.Reason)
	j.that(e.Result == "" || o.Result == e.Result, "result %q; want %q", o.Result, e.Result)
	allow := e.Reason == "ok" && e.Status == 0
	j.that(o.Allowed == allow, "let in: %t; want %t", o.Allowed, allow)
	status := e.Status
	if envoy && c.Envoy.Status != 0 {
		status = c.Envoy.Status
	}
	if !allow {
		j.that(o.Status == status, "status %d; want %d", o.Status, status)
	}
	j.headers(envoy)
	if !envoy || !c.Envoy.NotJSON {
		j.body()
	}
	if allow {
		j.upstream()
	}
	return j.problems
}

type judgement struct {
	c        Case
	o        Outcome
	problems []string
}

func (j *judgement) that(ok bool, format string, args ...any) {
	if !ok {
		j.problems = append(j.problems, fmt.Sprintf(format, args...))
	}
}

func (j *judgement) headers(envoy bool) {
	want := j.c.Expect.Headers
	if envoy && j.c.Envoy.Headers != nil {
		want = j.c.Envoy.Headers
	}
	for _, name := range sorted(want) {
		got := strings.Join(j.o.Headers.Values(name), "\n")
		matched, err := regexp.MatchString("^(?:"+want[name]+")$", got)
		j.that(err == nil && matched, "header %s: %q; want %s", name, got, want[name])
	}
	for _, name := range j.c.Expect.Absent {
		j.that(len(j.o.Headers.Values(name)) == 0, "header %s: %q; want none", name, j.o.Headers.Values(name))
	}
	if j.c.Expect.Challenge != nil && (!envoy || j.c.Envoy.Headers == nil) {
		challenges := j.o.Headers.Values("www-authenticate")
		j.that(len(challenges) == 1, "%d challenges; want one", len(challenges))
		if len(challenges) == 1 {
			got, err := parseChallenge(challenges[0])
			j.that(err == nil, "challenge %q: %v", challenges[0], err)
			delete(got, "error_description")
			j.that(reflect.DeepEqual(got, j.c.Expect.Challenge), "challenge %v; want %v", got, j.c.Expect.Challenge)
		}
	}
	for name, values := range j.o.Headers {
		for _, v := range values {
			j.that(!strings.ContainsAny(name+v, "\r\n\x00"), "header %s holds a control byte", name)
		}
	}
}

// randomID matches a decision's id, whose digits are arbitrary.
var randomID = regexp.MustCompile(`[0-9a-f]{32}`)

func (j *judgement) body() {
	for _, part := range j.c.Expect.Body {
		j.that(strings.Contains(j.o.Body, part), "body %q; want %q in it", j.o.Body, part)
	}
	told := randomID.ReplaceAllString(j.o.Body+fmt.Sprint(j.o.Headers), "")
	for _, part := range j.c.Expect.NotBody {
		j.that(!strings.Contains(told, part), "body or headers hold %q: %s %v", part, j.o.Body, j.o.Headers)
	}
	if j.c.Expect.JSON == nil {
		return
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(j.o.Body), &document); err != nil {
		j.that(false, "body %q is not JSON", j.o.Body)
		return
	}
	for _, name := range sorted(j.c.Expect.JSON) {
		want := number(j.c.Expect.JSON[name])
		j.that(reflect.DeepEqual(document[name], want), "%s in the body: %v; want %v", name, document[name], want)
	}
}

func (j *judgement) upstream() {
	for _, name := range sorted(j.c.Expect.Upstream) {
		want := j.c.Expect.Upstream[name]
		got, there := j.o.Upstream[name]
		if want == "" {
			j.that(!there, "the upstream gets %s: %q; want none", name, got)
			continue
		}
		matched, err := regexp.MatchString("^(?:"+want+")$", strings.Join(got, "\n"))
		j.that(err == nil && matched, "the upstream gets %s: %q; want %s", name, got, want)
	}
}

// parseChallenge reads one challenge of scheme Bearer by the grammar of RFC 9110
// §11.6.1: every value quoted, no parameter twice.
func parseChallenge(s string) (map[string]string, error) {
	rest, ok := strings.CutPrefix(s, "Bearer ")
	if !ok {
		return nil, errors.New("not of scheme Bearer")
	}
	params := map[string]string{}
	for {
		name, after, ok := strings.Cut(rest, `="`)
		if !ok || name == "" || strings.ContainsAny(name, ` ,"=`) {
			return nil, errors.New("a parameter that is not name=\"value\"")
		}
		value, tail, ok := strings.Cut(after, `"`)
		if !ok || strings.Contains(value, `\`) {
			return nil, errors.New("a value that does not end, or is escaped")
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("parameter %s twice", name)
		}
		params[name] = value
		if tail == "" {
			return params, nil
		}
		if rest, ok = strings.CutPrefix(tail, ", "); !ok {
			return nil, errors.New("parameters that no comma separates")
		}
	}
}
