// Package policies holds the Rego that is shipped with Stepward: the policy that
// is used when none is configured, in default/, and the library of packages
// stepward.lib.NAME, in lib/, which every policy can import. Tests stand beside
// each file; `stepward test` runs them.
package policies

import (
	"embed"
	"io/fs"
)

//go:embed default lib
var files embed.FS

// Default returns the shipped policy and its data.
func Default() fs.FS { return sub("default") }

// Library returns the packages stepward.lib.NAME.
func Library() fs.FS { return sub("lib") }

func sub(name string) fs.FS {
	f, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the name is one of those embedded above
	}
	return f
}
