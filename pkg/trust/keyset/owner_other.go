//go:build !unix

package keyset

import "io/fs"

// own is true: who owns a file is not told in one way here.
func own(fs.FileInfo) bool { return true }
