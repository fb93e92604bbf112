// Package examples holds configurations to start from. Each folder has a README
// whose commands a test runs; `stepward init` writes the quickstart.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed quickstart
var quickstart embed.FS

// Quickstart returns the folder of the quickstart: one issuer, two levels, a policy with
// its tests.
func Quickstart() fs.FS {
	sub, err := fs.Sub(quickstart, "quickstart")
	if err != nil {
		panic(err) // the name is that of the directive above
	}
	return sub
}
