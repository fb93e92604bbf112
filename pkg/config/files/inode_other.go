//go:build !unix

package files

import "io/fs"

// inode knows no identity here: size and time tell one file from another.
func inode(fs.FileInfo) uint64 { return 0 }
