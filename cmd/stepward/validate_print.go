package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/finding"
)

// print tells what was found, for a person or for a tool.
func (v validated) print(out io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Valid     bool         `json:"valid"`
			Revision  string       `json:"policy_revision"`
			Candidate string       `json:"candidate_revision,omitempty"`
			Findings  finding.List `json:"findings"`
			Warnings  finding.List `json:"warnings"`
		}{len(v.findings) == 0, v.revision, v.candidate, list(v.findings), list(v.warnings)})
	case "sarif":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(v.sarif())
	case "github":
		for _, f := range slices.Concat(v.findings, v.warnings) {
			fmt.Fprintf(out, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", strings.Replace(severity(f), "note",
				"notice", 1), property(f.File), f.Line, f.Column, property(f.Code), text(f))
		}
		return nil
	}
	for _, f := range slices.Concat(v.findings, v.warnings) {
		fmt.Fprintln(out, f)
	}
	if len(v.findings) == 0 {
		fmt.Fprintf(out, "%s is valid; policy revision %s", v.name, v.revision)
		if v.candidate != "" {
			fmt.Fprintf(out, ", candidate %s", v.candidate)
		}
		if n := v.warned(); n > 0 {
			noun := "warnings"
			if n == 1 {
				noun = "warning"
			}
			fmt.Fprintf(out, "; %d %s", n, noun)
		}
		fmt.Fprintln(out)
	}
	return nil
}

// list is l, and not null where there is nothing.
func list(l finding.List) finding.List {
	if l == nil {
		return finding.List{}
	}
	return l
}

// warned counts the warnings; a note is none.
func (v validated) warned() int {
	n := 0
	for _, f := range v.warnings {
		if f.Severity != finding.Note {
			n++
		}
	}
	return n
}

// severity is the level of SARIF.
func severity(f finding.Finding) string {
	if f.Severity == "" {
		return "error"
	}
	return f.Severity
}

// text is a message as a workflow command has it, on one line.
func text(f finding.Finding) string {
	s := f.Message
	if f.Hint != "" {
		s += "\n" + f.Hint
	}
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// property is a value of a workflow command, in which more is escaped.
func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// sarif is the report in SARIF 2.1.0, which code hosts show beside the lines.
func (v validated) sarif() map[string]any {
	rules, results := []any{}, []any{}
	seen := map[string]bool{}
	for _, f := range slices.Concat(v.findings, v.warnings) {
		code := f.Code
		if code == "" {
			code = "config"
		}
		if !seen[code] {
			seen[code] = true
			rules = append(rules, map[string]any{"id": code})
		}
		message := f.Message
		if f.Hint != "" {
			message += ". " + f.Hint
		}
		results = append(results, map[string]any{
			"ruleId": code, "level": severity(f), "message": map[string]any{"text": message},
			"locations": []any{map[string]any{"physicalLocation": map[string]any{
				"artifactLocation": map[string]any{"uri": filepath.ToSlash(f.File)},
				"region":           map[string]any{"startLine": f.Line, "startColumn": f.Column},
			}}},
		})
	}
	return map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{"tool": map[string]any{
			"driver": map[string]any{"name": "stepward", "rules": rules}}, "results": results}},
	}
}
