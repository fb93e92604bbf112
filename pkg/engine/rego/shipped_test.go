package rego_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// What we ship as Rego is written as opa fmt writes it, and opa check --strict finds
// nothing in any file. People copy these files.
func TestShippedRegoIsFormatted(t *testing.T) {
	options := ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1}
	files := 0
	for _, root := range []string{"../../../policies", "../../../examples", "../../../envoy"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".rego") {
				return err
			}
			files++
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			formatted, err := format.SourceWithOpts(path, source, format.Opts{RegoVersion: ast.RegoV1, ParserOptions: &options})
			if err != nil {
				t.Errorf("%s: %v", path, err)
			} else if !bytes.Equal(source, formatted) {
				t.Errorf("%s is not as opa fmt writes it: opa fmt -w %[1]s", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 40 {
		t.Errorf("only %d files are looked at", files)
	}
}
