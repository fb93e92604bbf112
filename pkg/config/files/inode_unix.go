//go:build unix

package files

import (
	"io/fs"
	"syscall"
)

// inode tells a file from another one that has taken its name.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
