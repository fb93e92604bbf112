package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/config"
)

// shipped are the configurations of this repository, by name, each beside the files that
// it names.
func shipped(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{filepath.Join("testdata", "good.yaml"): good(t)}
	names, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "step*.yaml"))
	if err != nil || len(names) < 4 {
		t.Fatalf("%q, %v", names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// the reader's own, which is not here
		all[name] = []byte(strings.ReplaceAll(string(text), "jwks_file: keys.json", "jwks_file: stepward.yaml"))
	}
	return all
}

func cut(name string, text []byte) (config.Config, error) {
	return config.Parse(name, text, config.Options{Getenv: func(string) string { return "" },
		InsecurePlaintextListener: true})
}

// A configuration of ours that was cut, at whatever byte, is refused, or is the whole one:
// what decides stands last in each.
func TestCut(t *testing.T) {
	for name, text := range shipped(t) {
		whole, err := cut(name, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		refused := 0
		for at := range text {
			c, err := cut(name, text[:at])
			if err != nil {
				refused++
			} else if !reflect.DeepEqual(c, whole) {
				t.Errorf("%s: cut after %d bytes it is another one; it ends in %q", name, at, text[max(0, at-40):at])
			}
		}
		if refused < len(text)/3 {
			t.Errorf("%s: only %d of %d cuts are refused", name, refused, len(text))
		}
	}
}

// The same for a part that is missing at the end or was never written, however it ends.
func FuzzCut(f *testing.F) {
	all := shipped(f)
	for name, text := range all {
		for _, at := range []int{0, 1, len(text) / 2, len(text) - 1, len(text)} {
			f.Add(name, at, "")
			f.Add(name, at, "\n")
			f.Add(name, at, "\x00\x00")
		}
	}
	f.Fuzz(func(t *testing.T, name string, at int, tail string) {
		text, there := all[name]
		if !there || at < 0 || at > len(text) || strings.Trim(tail, " \n\r\t\x00") != "" {
			return
		}
		whole, err := cut(name, text)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := cut(name, append(append([]byte{}, text[:at]...), tail...)); err == nil && !reflect.DeepEqual(
			c, whole) {
			t.Errorf("%s: cut after %d bytes, with %q behind, it is another one", name, at, tail)
		}
	})
}
