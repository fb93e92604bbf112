package finding

import (
	"encoding/json"
	"io"
	"path/filepath"
)

// SARIF writes l as a report in SARIF 2.1.0, which code hosts show next to the lines.
func (l List) SARIF(out io.Writer) error {
	rules, results := []any{}, []any{}
	seen := map[string]bool{}
	for _, f := range l {
		if code := f.code(); !seen[code] {
			seen[code] = true
			rules = append(rules, map[string]any{"id": code})
		}
		results = append(results, f.sarif())
	}
	driver := map[string]any{"name": "stepward", "rules": rules}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{"tool": map[string]any{"driver": driver}, "results": results}},
	})
}

// sarif returns one result of a report.
func (f Finding) sarif() map[string]any {
	message := f.Message
	if f.Hint != "" {
		message += ". " + f.Hint
	}
	return map[string]any{
		"ruleId": f.code(), "level": f.level(), "message": map[string]any{"text": message},
		"locations": []any{map[string]any{"physicalLocation": map[string]any{
			"artifactLocation": map[string]any{"uri": filepath.ToSlash(f.File)},
			"region":           map[string]any{"startLine": f.Line, "startColumn": f.Column},
		}}},
	}
}

// code returns the kind of trouble, which a SARIF report requires.
func (f Finding) code() string {
	if f.Code == "" {
		return "config"
	}
	return f.Code
}

// level returns the severity in SARIF's words: error, warning or note.
func (f Finding) level() string {
	if f.Severity == "" {
		return "error"
	}
	return f.Severity
}
