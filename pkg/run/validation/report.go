package validation

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/stepward/stepward/pkg/finding"
)

// Report says what was found. Findings keep a service from starting, or a proxy from
// honouring its answers; warnings do neither.
type Report struct {
	Name               string // of what was checked
	Findings, Warnings finding.List
	Revision           string // of the policy
	Candidate          string // revision of the candidate policy; empty without one
	MutationRule       string // header mutation rule that the policy needs
}

// Formats lists the formats of [Report.Print].
var Formats = []string{"text", "json", "sarif", "github"}

// Warned counts the warnings. A note is not one.
func (r Report) Warned() int {
	n := 0
	for _, f := range r.Warnings {
		if f.Severity != finding.Note {
			n++
		}
	}
	return n
}

// all returns findings and warnings.
func (r Report) all() finding.List { return slices.Concat(r.Findings, r.Warnings) }

// Print writes the report in one of the [Formats].
func (r Report) Print(out io.Writer, format string) error {
	switch format {
	case "json":
		return r.json(out)
	case "sarif":
		return r.all().SARIF(out)
	case "github":
		return r.all().GitHub(out)
	}
	for _, f := range r.all() {
		fmt.Fprintln(out, f)
	}
	if len(r.Findings) > 0 {
		return nil
	}
	line := fmt.Sprintf("%s is valid; policy revision %s", r.Name, r.Revision)
	if r.Candidate != "" {
		line += ", candidate " + r.Candidate
	}
	switch n := r.Warned(); n {
	case 0:
	case 1:
		line += "; 1 warning"
	default:
		line += fmt.Sprintf("; %d warnings", n)
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

func (r Report) json(out io.Writer) error {
	// An empty list is [], and not null.
	findings, warnings := append(finding.List{}, r.Findings...), append(finding.List{}, r.Warnings...)
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Valid     bool         `json:"valid"`
		Revision  string       `json:"policy_revision"`
		Candidate string       `json:"candidate_revision,omitempty"`
		Findings  finding.List `json:"findings"`
		Warnings  finding.List `json:"warnings"`
	}{len(findings) == 0, r.Revision, r.Candidate, findings, warnings})
}

// Fix applies the fixes in the report to the files themselves. It reports each file that it
// changes.
func (r Report) Fix(tell func(file string, fixes int)) error {
	all := r.all()
	names := map[string]bool{}
	for _, f := range all {
		if f.Fix != nil && f.File != "-" { // standard input
			names[f.File] = true
		}
	}
	for name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fixed, n := all.Apply(name, text)
		if n == 0 {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, fixed, info.Mode().Perm()); err != nil {
			return err
		}
		tell(name, n)
	}
	return nil
}
