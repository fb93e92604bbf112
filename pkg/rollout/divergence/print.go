package divergence

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stepward/stepward/pkg/rollout/decisionlog"
)

//go:embed page.html
var page string

// words holds the kinds in words for people.
var words = map[Kind]string{
	Same: "answered the same", NewlyChallenged: "newly challenged", NewlyRefused: "newly refused",
	NewlyFailing: "newly failing (503)",
	NewlyAllowed: "newly allowed", NoLongerChallenged: "no longer challenged",
	NoLongerRefused: "no longer refused, but challenged",
	NoLongerFailing: "no longer failing", AskedOtherwise: "asked or refused otherwise",
}

// String says k in words.
func (k Kind) String() string {
	if w, ok := words[k]; ok {
		return w
	}
	return string(k)
}

// Formats lists the formats that a report can be printed in.
var Formats = []string{"text", "json", "html"}

// Print writes r in one of [Formats].
func (r Report) Print(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "html":
		t, err := template.New("page").Funcs(template.FuncMap{"line": line, "kinds": Kinds, "same": func() Kind {
			return Same
		}, "percent": r.percent, "terms": terms}).Parse(page)
		if err != nil {
			return err
		}
		return t.Execute(w, r)
	}
	return r.text(w)
}

func (r Report) percent(k Kind) string { return fmt.Sprintf("%.2f %%", 100*r.Share(k)) }

// text prints r for a terminal.
func (r Report) text(w io.Writer) error {
	p := printer{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	p.line("policy %s, on %d decisions%s", r.Revision, r.Decisions, r.between())
	for _, revision := range slices.Sorted(maps.Keys(r.Against)) {
		p.line("  %d made by %s", r.Against[revision], revision)
	}
	p.line("")
	for _, k := range append(Kinds(), Same) {
		if n := r.Kinds[k]; n > 0 {
			p.line("%d\t%s\t%s", n, r.percent(k), k)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(r.Left)) {
		p.line("%d\t\tnot compared: %s", r.Left[why], why)
	}
	if r.Erased > 0 {
		p.line("%d\t\tcompared without what is masked in the log: a rule that reads it may answer otherwise", r.Erased)
	}
	if r.Suspended {
		p.line("\nThe policy failed so often that it rests for a while.")
	}
	p.groups("by route", r.Routes)
	p.groups("by rule", r.Rules)
	p.groups("by client", r.Clients)
	p.groups("by issuer", r.Issuers)
	p.faults(r.Faults)
	p.examples(r.Samples)
	if p.err != nil {
		return p.err
	}
	return p.w.Flush()
}

func (r Report) between() string {
	if r.Since.IsZero() {
		return ""
	}
	return fmt.Sprintf(" from %s to %s", r.Since.UTC().Format(time.DateTime), r.Until.UTC().Format(time.DateTime))
}

// shownGroups is how many groups a terminal shows; JSON and the page show all.
const shownGroups = 15

// printer keeps the first error.
type printer struct {
	w   *tabwriter.Writer
	err error
}

// line writes a line. Text from a log may hold anything, and a terminal would obey some of
// it.
func (p *printer) line(format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case string:
			args[i] = printable(a)
		case Kind:
			args[i] = printable(a.String())
		}
	}
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// printable replaces every character of s that would not be shown as itself.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

func (p *printer) groups(title string, all []Group) {
	differ := slices.DeleteFunc(slices.Clone(all), func(g Group) bool { return g.differences() == 0 })
	if len(differ) == 0 {
		return
	}
	p.line("\n%s", title)
	for i, g := range differ {
		if i == shownGroups {
			p.line("  … and %d more", len(differ)-i)
			return
		}
		p.line("  %s\t%d of %d\t%s", g.Name, g.differences(), g.Decisions, line(g))
	}
}

func (p *printer) faults(all map[string]int64) {
	if len(all) > 0 {
		p.line("\nwhy it fails")
	}
	for _, why := range slices.Sorted(maps.Keys(all)) {
		p.line("  %d\t%s", all[why], why)
	}
}

func (p *printer) examples(all []Example) {
	if len(all) > 0 {
		p.line("\nexamples")
	}
	for _, e := range all {
		p.line("  %s\t%s\t%s\t%s → %s\t%s", e.Kind, e.Route, e.Client, terms(e.Was), terms(e.Is), e.DecisionID)
	}
}

// line prints the differences of g.
func line(g Group) string {
	var parts []string
	for _, k := range Kinds() {
		if n := g.Kinds[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	return strings.Join(parts, ", ")
}

// terms says o in a few words.
func terms(o decisionlog.Outcome) string {
	s := string(o.Result)
	if o.Result != "allow" {
		s += " " + string(o.Reason)
	}
	if len(o.ACRValues) > 0 {
		s += " acr " + strings.Join(o.ACRValues, "|")
	}
	if o.MaxAge != nil {
		s += fmt.Sprintf(" within %d s", *o.MaxAge)
	}
	return s
}
