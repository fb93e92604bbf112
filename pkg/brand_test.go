package pkg_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// spine are the packages that decide, whatever evaluates a policy.
var spine = []string{"request", "credential", "token", "stepup", "policy", "authz", "response", "extauthz"}

// brand is a word of another product, or of what one of its policies needs of us.
var brand = regexp.MustCompile(`(?i)opa[-_ ]?envoy|\bopa\b|compat\b|compatpolicy|open-policy-agent`)

// The spine knows facts that any policy may state, and no product: what opa-envoy-plugin
// needs is in package opaenvoy.
func TestSpineNamesNoProduct(t *testing.T) {
	looked := 0
	for _, pkg := range spine {
		err := filepath.WalkDir(pkg, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			looked++
			text, err := os.ReadFile(path)
			for n, line := range strings.Split(string(text), "\n") {
				if found := brand.FindString(line); found != "" {
					t.Errorf("%s:%d says %q", path, n+1, found)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if looked < 80 {
		t.Errorf("only %d files are looked at", looked)
	}
}
