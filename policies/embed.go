// Package policies holds the Rego that Stepward ships: in default/ the policy that is used
// if none is configured, and in lib/ the library of packages stepward.lib.NAME, which every
// policy can import. Tests are next to each file; `stepward test` runs them.
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
