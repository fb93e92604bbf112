package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
)

// names are the keys that name files and do not say so by their ending.
var names = []string{"paths", "file", "cache_dir", "proto_descriptor"}

// Every key that looks like the name of a file is tagged as one, and nothing else is.
func TestFilesAreTagged(t *testing.T) {
	uses := map[string]int{}
	var walk func(typ reflect.Type, path string, reached bool)
	walk = func(typ reflect.Type, path string, reached bool) {
		switch typ.Kind() {
		case reflect.Slice:
			walk(typ.Elem(), path+"[]", reached)
		case reflect.Map: // whose members resolve cannot set
			walk(typ.Elem(), path+".*", false)
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				key, use := f.Tag.Get("yaml"), f.Tag.Get("file")
				at := join(path, key)
				named := strings.HasSuffix(key, "_file") || slices.Contains(names, key)
				switch {
				case named != (use != ""):
					t.Errorf("%s: the tag file is %q", at, use)
				case use != "" && !slices.Contains([]string{read, kept, written}, use):
					t.Errorf("%s: %q is no use of a file", at, use)
				case use != "" && (!reached || f.Type != reflect.TypeFor[string]() &&
					f.Type != reflect.TypeFor[[]string]()):
					t.Errorf("%s is tagged, and resolve does not reach it", at)
				}
				uses[use]++
				walk(f.Type, at, reached)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "", true)
	if uses[read] < 15 || uses[kept] != 1 || uses[written] != 1 {
		t.Errorf("%v", uses)
	}
}

// naming returns a configuration in which every key for a file names one of its own, the
// names by path, and what each is for.
func naming() (c Config, all, use map[string]string) {
	c = Config{Issuers: make([]Issuer, 2)}
	c.Policy.Paths, c.Policy.Candidate.Paths = make([]string, 2), make([]string, 2)
	all, use = map[string]string{}, map[string]string{}
	(&decoder{}).paths(reflect.ValueOf(&c).Elem(), "", func(path, u string, name *string) {
		*name = fmt.Sprintf("file-%d", len(all))
		all[path], use[path] = *name, u
	})
	return c, all, use
}

// Every file is looked for in the folder of the configuration. What decides is watched,
// and a change of it is noticed between two looks.
func TestFilesAreResolved(t *testing.T) {
	c, all, use := naming()
	if len(all) < 20 {
		t.Fatalf("only %d files: %v", len(all), all)
	}
	dir := t.TempDir()
	for _, name := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	resolve := func() (Config, *decoder) {
		c, _, _ := naming()
		d := &decoder{file: filepath.Join(dir, "stepward.yaml"), look: files.NewLook()}
		d.resolve(&c)
		return c, d
	}
	c, first := resolve()
	if len(first.found) > 0 {
		t.Fatal(first.found)
	}
	first.paths(reflect.ValueOf(&c).Elem(), "", func(path, _ string, name *string) {
		if want := filepath.Join(dir, all[path]); *name != want {
			t.Errorf("%s is %s; want %s", path, *name, want)
		}
		if slices.Contains(c.Sources, *name) != (use[path] == read) {
			t.Errorf("%s: sources are %q", path, c.Sources)
		}
	})
	for path, name := range all {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "away")); err != nil {
			t.Fatal(err)
		}
		_, then := resolve()
		missed := slices.ContainsFunc(then.found, func(f finding.Finding) bool { return f.Path == path })
		if want := use[path] != written; missed != want || (first.look.Differs(then.look) != "") != want {
			t.Errorf("%s is gone: %v", path, then.found)
		}
		if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// An absolute name stays as it is.
func TestAbsoluteFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{Issuers: []Issuer{{JWKSFile: name}}}
	d := &decoder{file: "elsewhere/stepward.yaml", look: files.NewLook()}
	if d.resolve(&c); c.Issuers[0].JWKSFile != name || len(d.found) > 0 {
		t.Errorf("%s, %v", c.Issuers[0].JWKSFile, d.found)
	}
}
