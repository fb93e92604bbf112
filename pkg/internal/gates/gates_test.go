package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A step that fails hides no later one, and the closing line tells.
func TestCarryOut(t *testing.T) {
	good, bad := step{name: "good", argv: []string{"true"}}, step{name: "bad", argv: []string{"false"}}
	for _, v := range []struct {
		steps  []step
		status int
		last   string
	}{
		{[]step{good, good}, 0, "2 passed, 0 failed, 0 skipped"},
		{[]step{good, bad, good}, 1, "2 passed, 1 failed, 0 skipped"},
		{[]step{{name: "absent", argv: []string{"/nonexistent"}}, good}, 1, "1 passed, 1 failed, 0 skipped"},
		{[]step{{name: "absent", argv: []string{"/nonexistent"}, tests: true}, good}, 1,
			"1 passed, 1 failed, 0 skipped"},
		{[]step{{name: "tests", argv: []string{"echo", `{"Action":"pass","Package":"a","Test":"TestX"}`}, tests: true},
			good}, 0, "2 passed, 0 failed, 0 skipped"},
		{[]step{{name: "silent", argv: []string{"false"}, tests: true}, good}, 1, "1 passed, 1 failed, 0 skipped"},
	} {
		var out strings.Builder
		if got := carryOut(t.Context(), v.steps, "nothing", &out); got != v.status {
			t.Errorf("%v: status %d", v.steps, got)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if lines[len(lines)-1] != v.last || !strings.HasPrefix(lines[len(lines)-2], "left out: ") {
			t.Errorf("%v ends in %q", v.steps, lines)
		}
	}
}

// What go test says is counted: tests, not their parts; and a package that does not
// build or panics is a failure.
func TestRead(t *testing.T) {
	const events = `{"Action":"output","Package":"a","Test":"TestX","Output":"said by X\n"}
{"Action":"pass","Package":"a","Test":"TestX/part"}
{"Action":"fail","Package":"a","Test":"TestX","Elapsed":1}
{"Action":"output","Package":"a","Test":"TestY","Output":"said by Y\n"}
{"Action":"pass","Package":"a","Test":"TestY"}
{"Action":"skip","Package":"a","Test":"TestZ"}
{"Action":"skip","Package":"a","Test":"TestW/part"}
{"Action":"fail","Package":"a","Elapsed":1.5}
{"Action":"build-output","ImportPath":"b","Output":"does not build\n"}
{"Action":"fail","Package":"b"}
{"Action":"skip","Package":"c"}
not an event
`
	var out strings.Builder
	if got, want := read(strings.NewReader(events), &out), (counts{1, 2, 2}); got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
	for _, want := range []string{"said by X", "does not build", "not an event", "1 passed, 1 failed, 2 left out"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "said by Y") {
		t.Error("a test that passes is not silent")
	}
}

// The packages that are not for the loop of half a minute are there: one that moved would
// slow the loop down without a word.
func TestSlowPackagesAreThere(t *testing.T) {
	for _, dir := range slow {
		if tests, err := filepath.Glob("../../../" + dir + "/*_test.go"); err != nil || len(tests) == 0 {
			t.Errorf("%s has no tests (%v): take it out, or follow it", dir, err)
		}
	}
}

// Every target has what it leaves out said, with the command that adds it.
func TestPlans(t *testing.T) {
	for target, steps := range plans {
		if len(steps) == 0 || !regexp.MustCompile("`make [a-z-]+`").MatchString(leftOut[target]) {
			t.Errorf("%s: %d steps, leaves out %q", target, len(steps), leftOut[target])
		}
	}
}
