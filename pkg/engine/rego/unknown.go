package rego

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/stepward/stepward/pkg/finding"
)

// Data that is too old to be believed, or that nobody provides, must not be undefined: a
// rule whose condition is undefined goes silent, and the stop sign with it. So such a
// member is not in the document that rules read, and the store fails when OPA looks for it
// there. OPA treats only "not found" as undefined; any other error ends the evaluation.

// unknownData is the error of an evaluation that reached data which cannot be believed.
type unknownData struct {
	name  string
	stale bool
	asOf  time.Time
}

// Error names the data and its age, and none of its content.
func (e unknownData) Error() string {
	switch {
	case !e.stale:
		return fmt.Sprintf("data.%s is not there, and a rule reads it without asking data.stepward.unknown.%s", e.name,
			e.name)
	case e.asOf.IsZero():
		return fmt.Sprintf(
			"data.%s is stale (it was never confirmed), and a rule reads it without asking data.stepward.unknown.%s",
			e.name, e.name)
	}
	return fmt.Sprintf("data.%s is stale (as of %s), and a rule reads it without asking data.stepward.unknown.%s",
		e.name, e.asOf.UTC().Format(time.RFC3339), e.name)
}

// mistypedData is the error of an evaluation that looked for members in a value that has
// none.
type mistypedData struct {
	path storage.Path
	kind string
}

func (e mistypedData) Error() string {
	if len(e.path) == 1 {
		return fmt.Sprintf("data.%s is %s, and a rule looks for members in it", e.path[0], e.kind)
	}
	// the path may be what a request says
	return fmt.Sprintf("something in data.%s is %s, and a rule looks for members in it", e.path[0], e.kind)
}

// forget removes members that cannot be believed, because they are too old or because they
// are optional and missing. data.stepward.unknown lists them. A null member is refused,
// since rules would read it as present.
func (l *loader) forget(document map[string]any, sources []Source) {
	if _, taken := document["stepward"]; taken {
		l.add(finding.Finding{File: firstName(sources), Line: 1, Column: 1, Code: "data",
			Message: "data.stepward is in a file or bundle already", Hint: "it is Stepward's own; choose another name"})
		return
	}
	l.unknown = map[string]unknownData{}
	for name, at := range l.opt.Unknown {
		if _, there := document[name]; there || slices.Contains(l.opt.Optional, name) {
			l.unknown[name] = unknownData{name: name, stale: there, asOf: at}
		}
		delete(document, name)
	}
	for _, name := range l.opt.Optional {
		_, there := document[name]
		if _, known := l.unknown[name]; !there && !known {
			l.unknown[name] = unknownData{name: name}
		}
	}
	for name, value := range document {
		if value == nil {
			l.add(placed(sources, name, nil, finding.Finding{
				Code: "data", Message: fmt.Sprintf("data.%s is null", name),
				Hint: "leave it out and name it in policy.optional_data, or give it a value"}))
		}
	}
	says := map[string]any{}
	for name, u := range l.unknown {
		about := map[string]any{}
		if !u.asOf.IsZero() {
			about["as_of"] = u.asOf.UTC().Format(time.RFC3339)
		}
		says[name] = about
	}
	document["stepward"] = map[string]any{"unknown": says}
}

// guardedStore is a store that returns an error for data that cannot be believed.
type guardedStore struct {
	storage.Store
	unknown map[string]unknownData
}

// newStore makes a store of document. It returns an error for unknown data.
func newStore(document map[string]any, unknown map[string]unknownData) storage.Store {
	return guardedStore{Store: inmem.NewFromObject(document), unknown: unknown}
}

// Read implements [storage.Store].
func (s guardedStore) Read(ctx context.Context, txn storage.Transaction, path storage.Path) (any, error) {
	if len(path) == 0 {
		for _, u := range s.unknown {
			return nil, u // a rule that reads all of data reads this, too
		}
	} else if u, is := s.unknown[path[0]]; is {
		return nil, u
	}
	v, err := s.Store.Read(ctx, txn, path)
	if err != nil && storage.IsNotFound(err) {
		if e := s.mistyped(ctx, txn, path); e != nil {
			return nil, e
		}
	}
	return v, err
}

// mistyped returns the error for a path that leads through a value without such members, or
// nil. A missing member of an object is undefined, as usual in Rego.
func (s guardedStore) mistyped(ctx context.Context, txn storage.Transaction, path storage.Path) error {
	for n := len(path) - 1; n > 0; n-- {
		v, err := s.Store.Read(ctx, txn, path[:n])
		if err != nil {
			continue
		}
		if kind := kindOf(v); kind != "an object" && kind != "a list" {
			return mistypedData{path: path[:n], kind: kind}
		}
		return nil
	}
	return nil
}

// kindOf names the type of a value in data.
func kindOf(v any) string {
	switch v.(type) {
	case map[string]any, ast.Object:
		return "an object"
	case []any, *ast.Array:
		return "a list"
	case string, ast.String:
		return "a text"
	case bool, ast.Boolean:
		return "true or false"
	case nil, ast.Null:
		return "null"
	}
	return "a number"
}
