package keyset_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/trust/keyset"
)

// The last good set outlives a restart while the provider is down, and only if it is
// whole, this issuer's, not too old, and nobody else's to write.
func TestCacheFile(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	file := filepath.Join(t.TempDir(), "corp.json")
	loaded(t, idp, keyset.RemoteConfig{CacheFile: file}).stop()
	idp.Close()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		change func(t *testing.T, file string)
		config keyset.RemoteConfig
		good   bool
	}{
		"as it was": {good: true},
		"a bit off": {change: func(t *testing.T, file string) {
			write(t, file, strings.Replace(string(text), `\"kid\":\"es\"`, `\"kid\":\"et\"`, 1))
		}},
		"cut":   {change: func(t *testing.T, file string) { write(t, file, string(text[:len(text)/2])) }},
		"empty": {change: func(t *testing.T, file string) { write(t, file, "") }},
		"anybody's": {change: func(t *testing.T, file string) {
			if err := os.Chmod(file, 0o666); err != nil {
				t.Fatal(err)
			}
		}},
		"a folder": {change: func(t *testing.T, file string) {
			if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
				t.Fatal(err)
			}
		}},
		"not there":      {change: func(t *testing.T, file string) { os.Remove(file) }},
		"another issuer": {config: keyset.RemoteConfig{Issuer: "https://127.0.0.1:1"}},
		"another place":  {config: keyset.RemoteConfig{JWKSURI: idp.URL + "/keys"}},
		"too old": {config: keyset.RemoteConfig{
			Now: func() time.Time { return time.Now().Add(25 * time.Hour) }}},
		"from the future": {config: keyset.RemoteConfig{Now: func() time.Time { return time.Now().Add(-time.Hour) }}},
	} {
		t.Run(name, func(t *testing.T) {
			c := x.config
			c.CacheFile = filepath.Join(t.TempDir(), "corp.json")
			write(t, c.CacheFile, string(text))
			if x.change != nil {
				x.change(t, c.CacheFile)
			}
			s := open(t, idp, c)
			f := <-s.fetched
			if f.Err == nil || f.FromCache != x.good || s.Loaded() != x.good {
				t.Fatalf("%+v, loaded %t", f, s.Loaded())
			}
			if x.good {
				expect(t, "a key", s.find(t, "es"), nil)
				if !s.Status().Cached {
					t.Error("the status does not say where it is from")
				}
				return
			}
			if f.CacheErr == nil && name != "not there" {
				t.Error("nobody is told why")
			}
			expect(t, "a key", s.find(t, "es"), keyset.ErrUnavailable)
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
