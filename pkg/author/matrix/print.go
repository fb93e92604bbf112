package matrix

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Line is a row as shown, with callers who get the same answer together.
type Line struct {
	Method  string   `json:"method"`
	Route   string   `json:"route"` // host and path
	Callers string   `json:"callers"`
	Needs   string   `json:"needs"` // in words
	Rules   []string `json:"rules,omitempty"`
	If      []string `json:"if,omitempty"` // conditions, in words
	Public  bool     `json:"public,omitempty"`
}

// Lines returns the rows of m. Callers that are treated alike share one.
func (m Matrix) Lines() []Line {
	var out []Line
	for _, r := range m.Rows {
		l := Line{Method: r.Method, Route: r.Host + r.Path, Callers: r.Caller, Needs: r.words(), Rules: r.needs().Rules,
			If: conditions(r.If), Public: r.Public()}
		if n := len(out) - 1; n >= 0 && out[n].Method == l.Method && out[n].Route == l.Route &&
			out[n].Needs == l.Needs && slices.Equal(out[n].If, l.If) {
			out[n].Callers += ", " + l.Callers
			continue
		}
		out = append(out, l)
	}
	for i := range out {
		if out[i].Callers == strings.Join(Callers, ", ") {
			out[i].Callers = "everybody"
		}
	}
	return out
}

// words says what a row requires.
func (r Row) words() string {
	if r.Problem != "" {
		return "unsettled: " + r.Problem
	}
	n := r.needs()
	if len(n.Denied) > 0 {
		return "refused by " + strings.Join(n.Denied, ", ")
	}
	words := []string{r.Level}
	if r.Level == None {
		words = []string{"nothing, so it is refused"}
		if len(r.If) > 0 {
			words = []string{"by the conditions, else it is refused"}
		}
	}
	if n.MaxAge != nil {
		words = append(words, "max_age "+seconds(n.MaxAge))
	}
	if len(n.AMR) > 0 {
		words = append(words, "amr "+strings.Join(n.AMR, " "))
	}
	if len(n.Scope) > 0 {
		words = append(words, "scope "+strings.Join(n.Scope, " "))
	}
	return strings.Join(append(words, n.More...), ", ")
}

// Public lists the routes that anybody may call, one per line. A golden file of this list
// shows when there are more.
func (m Matrix) Public() []string {
	var out []string
	for _, r := range m.Rows {
		if r.Caller == "nobody" && r.Public() {
			out = append(out, r.Method+" "+r.Host+r.Path)
		}
	}
	return out
}

// Print writes m as text, markdown, json or html.
func (m Matrix) Print(out io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(m)
	case "markdown":
		fmt.Fprintf(out, "| method | route | who | needs | unless settled |\n|---|---|---|---|---|\n")
		for _, l := range m.Lines() {
			fmt.Fprintf(out, "| %s | `%s` | %s | %s | %s |\n", l.Method, cell(l.Route), l.Callers, cell(l.Needs),
				cell(strings.Join(l.If, "<br>")))
		}
		fmt.Fprintf(out, "\nPublic: %s\n", cell(strings.Join(m.Public(), ", ")))
		return nil
	case "html":
		return page.Execute(out, map[string]any{"Revision": m.Revision, "Lines": m.Lines(), "Public": m.Public()})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "METHOD\tROUTE\tWHO\tNEEDS")
	for _, l := range m.Lines() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Method, l.Route, l.Callers, l.Needs)
		for _, i := range l.If {
			fmt.Fprintf(w, "\t\t\t+ %s\n", i)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\npublic (%d):\n", len(m.Public()))
	for _, p := range m.Public() {
		fmt.Fprintln(out, " ", p)
	}
	return nil
}

// ParseMatrix reads a matrix in JSON.
func ParseMatrix(text []byte) (Matrix, error) {
	var m Matrix
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("matrix: %w", err)
	}
	return m, nil
}

// seconds writes an age.
func seconds(s *int64) string {
	if s == nil {
		return ""
	}
	return strconv.FormatInt(*s, 10) + "s"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

//go:embed page.html
var pageText string

var page = template.Must(template.New("matrix").Parse(pageText))

// PrintChanges writes the differences, and a summary.
func PrintChanges(out io.Writer, changes []Change) {
	weaker, public := 0, 0
	for _, c := range changes {
		mark := " "
		if len(c.Weaker) > 0 {
			mark = "!"
			weaker++
		}
		if slices.Contains(c.Weaker, "became public") {
			public++
		}
		fmt.Fprintf(out, "%s %s %s%s for %s: %s\n", mark, c.Row.Method, c.Row.Host, c.Row.Path, c.Row.Caller,
			strings.Join(slices.Concat(c.Weaker, c.Other), "; "))
	}
	fmt.Fprintf(out, "%d rows changed, %d of them weaker, %d became public\n", len(changes), weaker, public)
}
