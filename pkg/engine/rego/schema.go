package rego

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/strictjson"
)

// Data is compared with JSON Schemas when it is loaded, because a slip in it causes no
// error when it is read: a rule does not match, and is silent. Schemas come from two
// places.
//
// The library says in the METADATA of a function what each argument must be:
//
//	# custom:
//	#   arguments: {entry: "stepward.routes#/items"}
//
// The arguments in a policy are compared with that, as far as they can be followed to data
// or to a constant. A policy declares schemas for its own data in OPA's way:
//
//	# schemas:
//	# - data.limits: schema.limits
//
// where schema.limits is the file limits.schema.json or schemas/limits.json next to it.

// schemaRoot is where schemas have their names; nothing is fetched from there.
const schemaRoot = "file:///schemas/"

// schemaName returns the name of the schema in a file, or an empty string if it is no
// schema.
func schemaName(file string) string {
	base := filepath.Base(file)
	if name, ok := strings.CutSuffix(base, ".schema.json"); ok {
		return name
	}
	if name, ok := strings.CutSuffix(base, ".json"); ok && filepath.Base(filepath.Dir(file)) == "schemas" {
		return name
	}
	return ""
}

// schemas holds the schemas among the sources of a policy.
type schemas struct {
	loader    *loader
	compiler  *jsonschema.Compiler
	documents map[string]any // by name
	sources   []Source
	document  map[string]any
}

// nowhere refuses to fetch any schema.
type nowhere struct{}

func (nowhere) Load(string) (any, error) {
	return nil, errors.New("a schema refers to files of the policy only")
}

func (l *loader) newSchemas(sources []Source, document map[string]any) *schemas {
	s := &schemas{loader: l, compiler: jsonschema.NewCompiler(), documents: map[string]any{}, sources: sources,
		document: document}
	s.compiler.UseLoader(nowhere{})
	s.compiler.AssertFormat()
	for _, f := range formats(l.opt) {
		s.compiler.RegisterFormat(f)
	}
	for _, source := range sources {
		name := schemaName(source.Name)
		if name == "" {
			continue
		}
		v, err := strictjson.Decode(source.Text)
		if err == nil {
			err = s.compiler.AddResource(schemaRoot+name, v)
		}
		if err != nil {
			l.add(finding.Finding{File: source.Name, Line: 1, Column: 1, Code: "schema", Message: err.Error(),
				Hint: "a schema is one JSON document of draft 4 to 2020-12"})
			continue
		}
		s.documents[name] = v
	}
	return s
}

// forCompiler gives the schemas to OPA, which checks rules against them if an annotation
// says so.
func (s *schemas) forCompiler(set *ast.SchemaSet) {
	for _, name := range slices.Sorted(maps.Keys(s.documents)) {
		text, err := json.Marshal(s.documents[name])
		var plain any
		if err == nil && json.Unmarshal(text, &plain) == nil {
			set.Put(ast.Ref{ast.SchemaRootDocument, ast.StringTerm(name)}, plain)
		}
	}
}

// check compares data, and constants used in its place, with the schemas.
func (s *schemas) check(c *ast.Compiler) {
	rules := reached(c)
	x := &tracer{compiler: c, rules: rules}
	for _, r := range rules {
		if r.Module == nil || r.Module.Package.Path.HasPrefix(syntax.LibraryPackage) {
			continue
		}
		x.calls(r, func(f ast.Ref, operands []*ast.Term) {
			if f.HasPrefix(syntax.LibraryPackage) {
				s.call(x, r, f, operands)
			}
		})
		s.members(x, r)
	}
	for _, file := range slices.Sorted(maps.Keys(c.Modules)) {
		if !syntax.IsOurs(c.Modules[file].Package.Path) ||
			!c.Modules[file].Package.Path.HasPrefix(syntax.LibraryPackage) {
			s.declared(c.Modules[file])
		}
	}
}

// call compares the arguments of a library function with its METADATA.
func (s *schemas) call(x *tracer, r *ast.Rule, f ast.Ref, operands []*ast.Term) {
	function := x.compiler.GetRulesExact(f)
	wanted := argumentSchemas(function)
	if len(wanted) == 0 {
		return
	}
	for n, t := range operands {
		schema := s.ofLibrary(wanted[parameterName(function, n)], t.Location)
		if schema == nil {
			continue
		}
		for _, o := range x.of(r, t) {
			s.hold(schema, o, t.Location)
		}
	}
}

// parameterName returns the name that the author of a function gave its n-th parameter, in
// the first of its rules that names it.
func parameterName(function []*ast.Rule, n int) string {
	for _, r := range function {
		if n >= len(r.Head.Args) || r.Head.Args[n].Location == nil {
			continue
		}
		if name := string(r.Head.Args[n].Location.Text); name != "" && name != "_" {
			return name
		}
	}
	return ""
}

// argumentSchemas returns the schemas in the METADATA of a function, by parameter.
func argumentSchemas(function []*ast.Rule) map[string]string {
	all := map[string]string{}
	for _, r := range function {
		for _, a := range r.Annotations {
			arguments, _ := a.Custom["arguments"].(map[string]any)
			for name, schema := range arguments {
				all[name], _ = schema.(string)
			}
		}
	}
	return all
}

// members checks the members of require and deny that a rule takes from data: a head that
// is undefined for an entry is silent about it.
func (s *schemas) members(x *tracer, r *ast.Rule) {
	name := string(r.Head.Name)
	if !syntax.IsEntry(r.Module.Package.Path) || name != syntax.Require && name != syntax.Deny || r.Head.Key == nil {
		return
	}
	schema := s.ofLibrary("stepward.members#/$defs/"+name, r.Location)
	if schema == nil {
		return
	}
	for _, o := range x.of(r, r.Head.Key) {
		if o.constant == nil {
			s.hold(schema, o, r.Location)
		}
	}
}

// ofLibrary returns a schema of the library. Sources without the library have none.
func (s *schemas) ofLibrary(name string, loc *ast.Location) *jsonschema.Schema {
	if _, there := s.documents["stepward.members"]; name == "" || !there {
		return nil
	}
	schema, err := s.compiler.Compile(schemaRoot + name)
	if err != nil {
		s.loader.add(syntax.At(loc, "schema", fmt.Sprintf("the library's schema %s: %s", name, firstLine(err)), ""))
		return nil
	}
	return schema
}

// declared compares data with the schemas that a module of the policy declares.
func (s *schemas) declared(m *ast.Module) {
	for _, a := range m.Annotations {
		for n, d := range a.Schemas {
			if len(d.Path) < 2 || !d.Path[0].Equal(ast.DefaultRootDocument) {
				continue
			}
			name := fmt.Sprintf("inline-%s-%d-%d", filepath.Base(a.Location.File), a.Location.Row, n)
			if d.Definition != nil {
				text, err := json.Marshal(*d.Definition)
				if v, decoded := strictjson.Decode(text); err == nil && decoded == nil {
					err = s.compiler.AddResource(schemaRoot+name, v)
					s.documents[name] = v
				}
				if err != nil {
					continue // Compile says so
				}
			} else if len(d.Schema) == 2 {
				name = strings.Trim(d.Schema[1].Value.String(), `"`)
			}
			schema, err := s.compiler.Compile(schemaRoot + name)
			if err != nil {
				s.loader.add(syntax.At(a.Location, "schema", fmt.Sprintf("schema %s: %s", name, firstLine(err)),
					fmt.Sprintf("put it beside the policy as %s.schema.json or schemas/%s.json", name, name)))
				continue
			}
			if o := below([]origin{{}}, d.Path[1:]); len(o) == 1 {
				s.hold(schema, o[0], a.Location)
			}
		}
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// hold compares the value at an origin with a schema.
func (s *schemas) hold(schema *jsonschema.Schema, o origin, loc *ast.Location) {
	if o.constant != nil {
		v, err := ast.JSON(o.constant.Value)
		if o.constant.Location != nil && o.constant.Location.Row > 0 {
			loc = o.constant.Location
		}
		if err == nil {
			s.walk(schema, v, o.path, nil, func(path []string, f finding.Finding) {
				s.loader.add(syntax.At(loc, f.Code, f.Message, f.Hint))
			}, "")
		}
		return
	}
	name, ok := o.path[0].(string)
	if _, unknown := s.loader.unknown[name]; !ok || unknown {
		return
	}
	s.walk(schema, s.document[name], o.path[1:], nil, func(path []string, f finding.Finding) {
		s.loader.add(placed(s.sources, name, path, f))
	}, "data."+name)
}

// walk validates every value that a path leads to. It also reports a value on the way that
// is neither an object nor a list.
func (s *schemas) walk(schema *jsonschema.Schema, v any, rest []any, path []string,
	tell func([]string, finding.Finding), shown string) {
	if len(rest) == 0 {
		s.validate(schema, v, path, tell, shown)
		return
	}
	step := func(key string, next any) {
		s.walk(schema, next, rest[1:], append(slices.Clone(path), key), tell, placeBelow(shown, key))
	}
	switch here := v.(type) {
	case map[string]any:
		if rest[0] == nil {
			if len(rest) == 1 && shown != "" && schemaWants(schema, "object") {
				tell(path, finding.Finding{
					Code: "schema", Message: shown + " is an object, and must be a list of entries",
					Hint: "write [ … ] around the entries"})
				return
			}
			for _, key := range slices.Sorted(maps.Keys(here)) {
				step(key, here[key])
			}
			return
		}
		key := fmt.Sprint(rest[0])
		next, there := here[key]
		if !there {
			tell(path, finding.Finding{Code: "schema",
				Message: fmt.Sprintf("%s has no member %q%s, and a rule reads it", shown, key,
					finding.DidYouMean(key, slices.Sorted(maps.Keys(here)))),
				Hint: "a rule that reads missing data is silent"})
			return
		}
		step(key, next)
	case []any:
		for i, next := range here {
			if n, ok := rest[0].(int); rest[0] == nil || ok && n == i {
				step(strconv.Itoa(i), next)
			}
		}
	default:
		tell(path, finding.Finding{Code: "schema", Message: fmt.Sprintf("%s is %s, and a rule looks for members in it",
			shown, kindOf(v)), Hint: "write a list or an object, as the rule expects"})
	}
}

// schemaWants reports whether a schema allows only one type.
func schemaWants(schema *jsonschema.Schema, name string) bool {
	for schema.Ref != nil {
		schema = schema.Ref
	}
	return schema.Types != nil && slices.Equal(schema.Types.ToStrings(), []string{name})
}

// placeBelow writes a path for people.
func placeBelow(shown, key string) string {
	if _, err := strconv.Atoi(key); err == nil {
		return shown + "[" + key + "]"
	}
	return shown + "." + key
}

func (s *schemas) validate(schema *jsonschema.Schema, v any, path []string, tell func([]string, finding.Finding),
	shown string) {
	var failed *jsonschema.ValidationError
	if err := schema.Validate(v); !errors.As(err, &failed) {
		return
	}
	for _, leaf := range leaves(failed) {
		whole, at := append(slices.Clone(path), leaf.InstanceLocation...), shown
		for _, key := range leaf.InstanceLocation {
			at = placeBelow(at, key)
		}
		for _, f := range s.explain(leaf, strings.TrimPrefix(at, ".")) {
			where := whole
			if f.Path != "" {
				where = append(slices.Clone(whole), f.Path)
			}
			f.Path = ""
			tell(where, f)
		}
	}
}
