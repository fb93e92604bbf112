package tester

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Print writes the report for people. With verbose it also lists the tests that pass and
// the coverage of each file.
func (r Report) Print(out io.Writer, verbose bool) {
	told := map[string]string{} // the test for which an error was printed
	for _, t := range r.Results {
		switch {
		case t.Skipped:
			fmt.Fprintf(out, "skip  %s  %s:%d\n", t.Name, t.File, t.Line)
		case !t.Passed:
			fmt.Fprintf(out, "FAIL  %s  %s:%d\n", t.Name, t.File, t.Line)
			for _, line := range []string{r.failure(t, told), strings.TrimSpace(t.Output)} {
				if line != "" {
					fmt.Fprintf(out, "      %s\n", strings.ReplaceAll(line, "\n", "\n      "))
				}
			}
		case verbose:
			fmt.Fprintf(out, "pass  %s\n", t.Name)
		}
	}
	if verbose {
		for _, name := range slices.Sorted(maps.Keys(r.Files)) {
			fmt.Fprintf(out, "%5.1f %%  %s\n", r.Files[name], name)
		}
	}
	fmt.Fprintf(out, "%d tests, %d failed, coverage %.1f %%\n", len(r.Results), r.Failed(), r.Coverage)
}

// failure returns the error of a test, or the name of an earlier test with the same error.
func (r Report) failure(t Result, told map[string]string) string {
	if r.Refused != nil && strings.HasSuffix(t.Error, ": the policy does not load") {
		return "" // the caller says so once, at the end
	}
	same := errorPlace.ReplaceAllString(t.Error, "")
	if first := told[same]; first != "" && t.Error != "" {
		return "the same error as " + first
	}
	told[same] = t.Name
	return t.Error
}

// errorPlace matches the position in an error of a test.
var errorPlace = regexp.MustCompile(`^\S+:\d+: (?:eval_builtin_error: )?`)

// The XML report that build servers read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Skipped *struct{}     `xml:"skipped"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit returns the report in the XML that build servers read.
func (r Report) JUnit() ([]byte, error) {
	suite := junitSuite{Name: "stepward", Tests: len(r.Results), Failures: r.Failed()}
	var all time.Duration
	for _, t := range r.Results {
		at := strings.LastIndexByte(t.Name, '.')
		c := junitCase{Class: t.Name[:max(at, 0)], Name: t.Name[at+1:], File: t.File, Line: t.Line,
			Time: fmt.Sprintf("%.6f", t.Duration.Seconds())}
		all += t.Duration
		switch {
		case t.Skipped:
			suite.Skipped++
			c.Skipped = &struct{}{}
		case !t.Passed:
			message := t.Error
			if message == "" {
				message = "the test does not hold"
			}
			c.Failure = &junitFailure{Message: message, Text: t.Output}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = fmt.Sprintf("%.6f", all.Seconds())
	text, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}
