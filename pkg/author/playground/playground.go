// Package playground serves a local page that shows a policy, a request, its caller and the
// answer to each kind of client side by side, and updates them as you type. The same page
// shows the live decisions of a running service.
//
// [Handler] serves it only to the browser on this machine: see there. It writes no file,
// and policies reach no network. A [Workspace] holds everything that you work on, and is
// saved and shared as one file.
package playground

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/strictjson"
)

// Format names the file format of a saved [Workspace]. A new format gets a new name.
const Format = "stepward-playground/1"

// The limits of a workspace.
const (
	MaxSize  = 1 << 20 // of a saved file, in bytes
	maxFiles = 64
	maxName  = 200 // bytes
)

// Workspace holds everything that people work on in a playground. It is also the form of a
// saved file.
type Workspace struct {
	Format string `json:"format"` // [Format]
	// Policy holds Rego and data files. The library is available without being listed.
	Policy []File `json:"policy"`
	// Settings holds the part of a configuration that decides; see [Excerpt].
	Settings string `json:"settings"`
	// Routes lists the routes of the matrix, in the form that matrix.ParseRoutes reads;
	// empty means no matrix.
	Routes string `json:"routes"`
	// Scenario is a request and its caller, in the form that scenario.Parse reads.
	Scenario json.RawMessage `json:"scenario"`
}

// File is a file of a policy. Its name is a plain relative path.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Parse reads a saved file. Any departure from the saved form is an error: it would be
// lost, or would mean something other than what its author saw. The policy need not
// compile: the page shows what is wrong next to its lines.
func Parse(text []byte) (Workspace, error) {
	w, err := decode(text)
	if err != nil {
		return Workspace{}, err
	}
	if _, err := scenario.Parse(w.Scenario); err != nil {
		return Workspace{}, fmt.Errorf("not a saved playground: %w", err)
	}
	return w, nil
}

// decode does what Parse does for a workspace that somebody is still writing: its scenario
// may be unfinished.
func decode(text []byte) (Workspace, error) {
	var w Workspace
	if len(text) > MaxSize {
		return w, fmt.Errorf("not a saved playground: larger than %d bytes", MaxSize)
	}
	if _, err := strictjson.Object(text); err != nil {
		return w, fmt.Errorf("not a saved playground: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return Workspace{}, fmt.Errorf("not a saved playground: %w", err)
	}
	if err := w.check(); err != nil {
		return Workspace{}, fmt.Errorf("not a saved playground: %w", err)
	}
	return w, nil
}

func (w Workspace) check() error {
	switch {
	case w.Format != Format:
		return fmt.Errorf("format is %q, and must be %q", w.Format, Format)
	case len(w.Policy) == 0:
		return errors.New("policy has no file")
	case len(w.Policy) > maxFiles:
		return fmt.Errorf("policy has more than %d files", maxFiles)
	case len(w.Scenario) == 0:
		return errors.New("scenario is missing")
	}
	var names []string
	for _, f := range w.Policy {
		if err := f.check(); err != nil {
			return err
		}
		if slices.Contains(names, f.Name) {
			return fmt.Errorf("file %q is there twice", f.Name)
		}
		names = append(names, f.Name)
	}
	return nil
}

func (f File) check() error {
	switch {
	case f.Name == "" || len(f.Name) > maxName || path.IsAbs(f.Name) || path.Clean(f.Name) != f.Name ||
		strings.HasPrefix(f.Name, "../") || strings.ContainsFunc(f.Name, odd):
		return fmt.Errorf("file name %q is not a plain relative path", f.Name)
	case !slices.Contains([]string{".rego", ".json", ".yaml", ".yml"}, path.Ext(f.Name)):
		return fmt.Errorf("file %q is neither .rego, .json nor .yaml", f.Name)
	case strings.HasPrefix(f.Name, libraryFolder), f.Name == settingsFile, f.Name == routesFile:
		return fmt.Errorf("file name %q is taken", f.Name)
	case !utf8.ValidString(f.Text):
		return fmt.Errorf("file %q is not UTF-8 text", f.Name)
	}
	return nil
}

func odd(r rune) bool { return r < ' ' || r == '\\' || r == ':' || r == 0x7f || r == utf8.RuneError }

// New makes a workspace from files: the sources of a policy without its tests and the
// library, the [Excerpt] of a configuration, routes and a scenario. getenv reads the
// environment variables that the configuration may name.
func New(sources []rego.Source, configuration []byte, getenv func(string) string, routes, scenario string) (
	Workspace, error) {
	settings, err := Excerpt(configuration, getenv)
	if err != nil {
		return Workspace{}, err
	}
	w := Workspace{Format: Format, Settings: string(settings), Routes: routes, Scenario: json.RawMessage(scenario)}
	for _, s := range sources {
		if !strings.HasSuffix(s.Name, "_test.rego") {
			w.Policy = append(w.Policy, File{Name: s.Name, Text: string(s.Text)})
		}
	}
	text, err := json.Marshal(w)
	if err != nil {
		return Workspace{}, fmt.Errorf("playground: %w", err)
	}
	return Parse(text)
}

// Write writes w in its saved form.
func (w Workspace) Write(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(w)
}
