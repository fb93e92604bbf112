package playground_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/playground"
)

// A file is named from the path that led to it, and no name stands for two.
func TestSources(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/policies/p.rego", "a/policies/deep/q.rego", "b/policies/p.rego", "b/data.json"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := playground.Sources([]string{filepath.Join(dir, "a", "policies"),
		filepath.Join(dir, "b", "policies"), filepath.Join(dir, "b", "data.json")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sources {
		if strings.Contains(s.Name, dir) {
			t.Errorf("%s tells where it was", s.Name)
		}
		names = append(names, s.Name)
	}
	slices.Sort(names)
	if want := []string{"data.json", "deep/q.rego", "p.rego", "policies/p.rego"}; !slices.Equal(names, want) {
		t.Errorf("%q; want %q", names, want)
	}
	if _, err := playground.Sources([]string{filepath.Join(dir, "missing")}); err == nil {
		t.Error("a folder that is not there has sources")
	}
}

// The page is there until its command ends.
func TestServe(t *testing.T) {
	l, err := playground.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	o := playground.Options{Workspace: workspace(), Host: l.Addr().String(), Token: "token", Stage: stage}
	go func() { ended <- playground.Serve(ctx, l, o) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]int{"/token/": http.StatusOK, "/other/": http.StatusForbidden} {
		res, err := client.Get("http://" + o.Host + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: %d %s, %v; want %d", path, res.StatusCode, text, err, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := client.Get("http://" + o.Host + "/token/"); err == nil {
		t.Error("the page is still there")
	}
}
