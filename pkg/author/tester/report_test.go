package tester_test

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/author/tester"
)

func report() tester.Report {
	return tester.Report{Coverage: 87.5, Files: map[string]float64{"b.rego": 50, "a.rego": 100},
		Results: []tester.Result{
			{Name: "stepward.policy.test_a", File: "p_test.rego", Line: 3, Passed: true, Duration: time.Second},
			{Name: "stepward.policy.test_b", File: "p_test.rego", Line: 7,
				Error: "p_test.rego:8: eval_builtin_error: stepward.answer: no such level", Output: "print\nmore\n",
				Duration: time.Second},
			{Name: "stepward.policy.test_c", File: "p_test.rego", Line: 9,
				Error: "p_test.rego:10: eval_builtin_error: stepward.answer: no such level"},
			{Name: "stepward.policy.test_d", File: "p_test.rego", Line: 12},
			{Name: "stepward.policy.todo_test_e", File: "p_test.rego", Line: 15, Skipped: true},
		}}
}

// An error that several tests have is told once.
func TestReportPrint(t *testing.T) {
	const failures = `FAIL  stepward.policy.test_b  p_test.rego:7
      p_test.rego:8: eval_builtin_error: stepward.answer: no such level
      print
      more
FAIL  stepward.policy.test_c  p_test.rego:9
      the same error as stepward.policy.test_b
FAIL  stepward.policy.test_d  p_test.rego:12
skip  stepward.policy.todo_test_e  p_test.rego:15
`
	const end = "5 tests, 3 failed, coverage 87.5 %\n"
	for verbose, want := range map[bool]string{
		false: failures + end,
		true:  "pass  stepward.policy.test_a\n" + failures + "100.0 %  a.rego\n 50.0 %  b.rego\n" + end,
	} {
		var out strings.Builder
		if report().Print(&out, verbose); out.String() != want {
			t.Errorf("%s\nwant\n%s", out.String(), want)
		}
	}
	r := report()
	r.Refused = errors.New("no")
	r.Results[3].Error = "p_test.rego:12: the policy: the policy does not load"
	var out strings.Builder
	if r.Print(&out, false); strings.Contains(out.String(), "does not load") {
		t.Errorf("each test tells of it:\n%s", out.String())
	}
}

// Build servers read every test, and which failed.
func TestReportJUnit(t *testing.T) {
	text, err := report().JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suite struct {
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Skipped  int    `xml:"skipped,attr"`
			Time     string `xml:"time,attr"`
			Cases    []struct {
				Class   string `xml:"classname,attr"`
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	s := suites.Suite
	if s.Tests != 5 || s.Failures != 3 || s.Skipped != 1 || s.Time != "2.000000" || len(s.Cases) != 5 {
		t.Errorf("%+v", s)
	}
	for i, c := range s.Cases {
		if c.Class != "stepward.policy" || (c.Failure != nil) != (i >= 1 && i <= 3) || (c.Skipped != nil) != (i == 4) {
			t.Errorf("%+v", c)
		}
	}
	if f := s.Cases[1].Failure; !strings.Contains(f.Message, "no such level") || f.Text != "print\nmore\n" {
		t.Errorf("%+v", f)
	}
	if f := s.Cases[3].Failure; f.Message != "the test does not hold" {
		t.Errorf("%+v", f)
	}
}
