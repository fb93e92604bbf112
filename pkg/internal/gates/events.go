package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of `go test -json`, or of a build that fails.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// read shows events for people: a line for each package, and everything that a failing test
// printed.
func read(events io.Reader, out io.Writer) counts {
	var all counts
	of := map[string]counts{} // by package
	said := map[string]*strings.Builder{}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case json.Unmarshal([]byte(line), &e) != nil:
			fmt.Fprint(out, line) // a line that is not from go test, or the end
		case e.Action == "build-output":
			fmt.Fprint(out, e.Output)
		case e.Action == "output":
			key := e.Package + "\x00" + e.Test
			if said[key] == nil {
				said[key] = &strings.Builder{}
			}
			said[key].WriteString(e.Output)
		case e.Action == "pass", e.Action == "fail", e.Action == "skip":
			all.add(finished(e, of, said, out))
		}
		if err != nil {
			return all
		}
	}
}

// finished counts a test or a package that has ended.
func finished(e event, of map[string]counts, said map[string]*strings.Builder, out io.Writer) counts {
	key := e.Package + "\x00" + e.Test
	text := said[key]
	delete(said, key)
	if e.Action == "fail" && text != nil {
		fmt.Fprint(out, text.String())
	}
	if e.Test == "" {
		c := of[e.Package]
		delete(of, e.Package)
		if e.Action != "skip" {
			fmt.Fprintf(out, "%-4s %-60s %6.1fs  %d passed, %d failed, %d left out\n", e.Action, e.Package, e.Elapsed,
				c.passed, c.failed, c.skipped)
		}
		if e.Action == "fail" && c.failed == 0 { // it did not build, or ended in a panic
			return counts{failed: 1}
		}
		return counts{}
	}
	var c counts
	switch {
	case e.Action == "skip":
		c.skipped = 1
	case strings.Contains(e.Test, "/"): // counted with the test that contains it
		return c
	case e.Action == "pass":
		c.passed = 1
	default:
		c.failed = 1
	}
	sum := of[e.Package]
	sum.add(c)
	of[e.Package] = sum
	return c
}
