package config

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/internal/golden"
)

// comments are what config.go says of each type and field.
func comments(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, spec := range g.Specs {
			s := spec.(*ast.TypeSpec)
			out[s.Name.Name] = oneLine(g.Doc.Text())
			if x, ok := s.Type.(*ast.StructType); ok {
				for _, field := range x.Fields.List {
					for _, name := range field.Names {
						out[s.Name.Name+"."+name.Name] = oneLine(field.Doc.Text() + " " + field.Comment.Text())
					}
				}
			}
		}
	}
	return out
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

type object = map[string]any

// schemaOf is the schema of a type; path is that of the key, without indices.
func schemaOf(t *testing.T, typ reflect.Type, path string, says map[string]string) object {
	t.Helper()
	switch typ {
	case reflect.TypeFor[Duration]():
		return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, "examples": []string{
			"150ms", "5m"}}
	case reflect.TypeFor[Size]():
		return object{"oneOf": []object{{"type": "integer", "minimum": 1},
			{"type": "string", "pattern": `^[0-9]+ *(KiB|MiB)?$`}}}
	}
	s := object{}
	if typ == reflect.TypeFor[Assurance]() {
		return object{"oneOf": []object{{"enum": []string{"acr", "amr"}},
			{"type": "object", "properties": object{"claim": object{"type": "string"}}, "required": []string{"claim"},
				"additionalProperties": false}}}
	}
	switch typ.Kind() {
	case reflect.String:
		s["type"] = "string"
		if words := choices[path]; words != nil {
			s["enum"] = words
		}
	case reflect.Bool:
		s["type"] = "boolean"
	case reflect.Int:
		s["type"] = "integer"
	case reflect.Slice:
		s["type"], s["items"] = "array", schemaOf(t, typ.Elem(), path+"[]", says)
	case reflect.Map:
		s["type"], s["additionalProperties"] = "object", schemaOf(t, typ.Elem(), path+".*", says)
	case reflect.Struct:
		properties := object{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("yaml")
			if name == "-" {
				continue
			}
			p := schemaOf(t, f.Type, strings.TrimPrefix(path+"."+name, "."), says)
			if text := says[typ.Name()+"."+f.Name]; text != "" {
				p["description"] = text
			}
			properties[name] = p
		}
		s["type"], s["properties"], s["additionalProperties"] = "object", properties, false
	default:
		t.Fatalf("%s: no schema for %s", path, typ)
	}
	return s
}

// TestReferenceSchema keeps schema.json in step with the types.
func TestReferenceSchema(t *testing.T) {
	s := schemaOf(t, reflect.TypeFor[Config](), "", comments(t))
	s["required"] = []string{"issuers", "policy"}
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "stepward.yaml"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "schema.json", string(text)+"\n")
}

// TestReferencePage keeps docs/reference/configuration.md in step with the types.
func TestReferencePage(t *testing.T) {
	says := comments(t)
	var b strings.Builder
	b.WriteString(
		"# Configuration\n\nWritten by `make docs` from `pkg/config`. `issuers` and `policy` are required, so\nthat a file that was cut short is never another configuration; every other key may be\nleft out. What is not here is an error. `stepward schema` prints the JSON Schema for\neditors, and `stepward validate` says what is wrong, with line, column and a hint.\n\n" +
			"File names are relative to the folder of the configuration. `${NAME}` in a text is\nreplaced by the environment variable, which must be set. A flag wins over the\nenvironment (`STEPWARD_LISTEN`, `STEPWARD_ADMIN`, `STEPWARD_CONFIG`), that over the\nfile, and the file over the default.\n")
	defaults := Config{Issuers: []Issuer{{}}}.WithDefaults()
	var section func(typ reflect.Type, v reflect.Value, path, title string)
	section = func(typ reflect.Type, v reflect.Value, path, title string) {
		type inner struct {
			typ         reflect.Type
			v           reflect.Value
			path, title string
		}
		var later []inner
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title,
			says[typ.Name()])
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("yaml")
			if name == "-" {
				continue
			}
			at := strings.TrimPrefix(path+"."+name, ".")
			value := reflect.Value{}
			if v.IsValid() {
				value = v.Field(i)
			}
			elem, list := f.Type, ""
			for elem.Kind() == reflect.Slice || elem.Kind() == reflect.Map {
				if elem.Kind() == reflect.Slice {
					list += "list of "
					at += "[]"
				} else {
					list += "map of names to "
					at += ".*"
				}
				elem, value = elem.Elem(), reflect.Value{}
			}
			kind, shown := kindOf(elem), ""
			if elem == reflect.TypeFor[Assurance]() {
				kind, shown = "text or object", "`acr`"
			} else if elem.Kind() == reflect.Struct {
				kind = "[" + at + "](#" + strings.NewReplacer("[]", "", ".", "", "*", "", "_", "_").Replace(at) + ")"
				if at == "issuers[]" {
					value = reflect.ValueOf(defaults.Issuers[0])
				}
				later = append(later, inner{elem, value, at, at})
			} else if value.IsValid() && !value.IsZero() && name != "in_flight" {
				shown = "`" + defaultOf(value) + "`"
			}
			text := says[typ.Name()+"."+f.Name]
			if text == "" && elem.Kind() == reflect.Struct {
				text = says[elem.Name()]
			}
			if words := choices[at]; words != nil {
				text = strings.TrimSpace(text + "; one of `" + strings.Join(words, "` `") + "`")
			}
			fmt.Fprintf(&b, "| `%s` | %s%s | %s | %s |\n", name, list, kind, shown,
				strings.ReplaceAll(text, "|", "\\|"))
		}
		for _, x := range later {
			section(x.typ, x.v, x.path, x.title)
		}
	}
	section(reflect.TypeFor[Config](), reflect.ValueOf(defaults), "", "The file")
	golden.Check(t, "../../docs/reference/configuration.md", b.String())
}

func kindOf(typ reflect.Type) string {
	switch typ {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	}
	return map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false",
		reflect.Int: "number"}[typ.Kind()]
}

func defaultOf(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Duration:
		out, err := yaml.Marshal(x.String())
		if err == nil {
			return strings.Trim(strings.TrimSpace(string(out)), `"`)
		}
	case Size:
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

// The shipped example is valid by the schema's closed objects: every key of it is in
// the schema.
func TestSchemaKnowsEveryKey(t *testing.T) {
	var s object
	if err := json.Unmarshal(Schema, &s); err != nil {
		t.Fatal(err)
	}
	var walk func(typ reflect.Type, s object, path string)
	walk = func(typ reflect.Type, s object, path string) {
		if typ == reflect.TypeFor[Assurance]() {
			return // a word or an object
		}
		switch typ.Kind() {
		case reflect.Slice:
			walk(typ.Elem(), s["items"].(object), path)
		case reflect.Map:
			walk(typ.Elem(), s["additionalProperties"].(object), path)
		case reflect.Struct:
			if s["additionalProperties"] != false {
				t.Errorf("%s is open", path)
			}
			for i := range typ.NumField() {
				if name := typ.Field(i).Tag.Get("yaml"); name != "-" {
					p, ok := s["properties"].(object)[name].(object)
					if !ok {
						t.Errorf("%s.%s is not in the schema", path, name)
						continue
					}
					walk(typ.Field(i).Type, p, path+"."+name)
				}
			}
		}
	}
	walk(reflect.TypeFor[Config](), s, "")
}
