//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one case: the processor time of a call, and its ratio to the no-op server's.
type row struct {
	Name     string  `json:"name"`
	Baseline float64 `json:"baseline_us"` // µs of the no-op server, the median round
	Stepward float64 `json:"stepward_us"`
	Ratio    float64 `json:"ratio"` // the median of the rounds' ratios
	Least    float64 `json:"ratio_min"`
	Most     float64 `json:"ratio_max"`
	Calls    float64 `json:"calls_per_second"` // of Stepward, with a client on the same cores
	Bar      float64 `json:"bar"`
	Passed   bool    `json:"passed"`
}

// process holds figures to go with the ratios.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bar   float64 `json:"bar"`
}

type report struct {
	Time        time.Time `json:"time"`
	Cores       int       `json:"cores"`
	Go          string    `json:"go"`
	Connections int       `json:"connections"`
	InFlight    int       `json:"in_flight"`
	Rows        []row     `json:"cases"`
	Figures     []figure  `json:"figures"`
}

func newReport(o options) *report {
	return &report{Time: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Connections: o.connections, InFlight: o.inFlight}
}

// Passed reports whether every case is within its bar.
func (r *report) Passed() bool {
	return !slices.ContainsFunc(r.Rows, func(c row) bool { return !c.Passed }) &&
		!slices.ContainsFunc(r.Figures, func(f figure) bool { return f.Value > f.Bar })
}

// round holds what one round of a case measured.
type round struct{ baseline, stepward, rate float64 }

// add makes a row of rounds.
func (r *report) add(name string, bar float64, rounds []round) {
	pick := func(value func(round) float64) []float64 {
		var all []float64
		for _, x := range rounds {
			all = append(all, value(x))
		}
		slices.Sort(all)
		return all
	}
	middle := func(sorted []float64) float64 { return sorted[len(sorted)/2] }
	ratios := pick(func(x round) float64 { return x.stepward / x.baseline })
	c := row{Name: name, Bar: bar, Ratio: middle(ratios), Least: ratios[0], Most: ratios[len(ratios)-1],
		Baseline: middle(pick(func(x round) float64 { return x.baseline })),
		Stepward: middle(pick(func(x round) float64 { return x.stepward })),
		Calls:    middle(pick(func(x round) float64 { return x.rate }))}
	c.Passed = c.Ratio <= bar
	r.Rows = append(r.Rows, c)
	fmt.Fprintf(os.Stderr, "%-40s %.2f (%.2f–%.2f)\n", name, c.Ratio, c.Least, c.Most)
}

func (r *report) print(out io.Writer) {
	fmt.Fprintf(
		out,
		"\nProcessor time of a Check, and its ratio to a stock no-op server:\n"+
			"%d cores, %d connections, %d calls in flight.\n\n",
		r.Cores, r.Connections, r.Connections*r.InFlight)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "case\tno-op µs\tStepward µs\tratio\tspread\tbar\t")
	for _, c := range r.Rows {
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%.2f–%.2f\t%.2f\t%s\n",
			c.Name, c.Baseline, c.Stepward, c.Ratio, c.Least, c.Most, c.Bar, verdict(c.Passed))
	}
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%s\t\t%.0f %s\t\t\t%.0f\t%s\n", f.Name, f.Value, f.Unit, f.Bar, verdict(f.Value <= f.Bar))
	}
	w.Flush()
}

func verdict(passed bool) string {
	if passed {
		return "pass"
	}
	return "FAIL"
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// rest notes what a Stepward needs before the first request.
func (r *report) rest(p *process) error {
	bytes, err := p.memory()
	r.Figures = append(r.Figures, figure{"start to ready", float64(p.ready.Milliseconds()), "ms", 300},
		figure{"memory, idle", float64(bytes) / 1e6, "MB", 40})
	return err
}

// load notes what it needs after all cases.
func (r *report) load(p *process) error {
	bytes, err := p.memory()
	r.Figures = append(r.Figures, figure{"memory, after the cases", float64(bytes) / 1e6, "MB", 104})
	return err
}
