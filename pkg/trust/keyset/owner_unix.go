//go:build unix

package keyset

import (
	"io/fs"
	"os"
	"syscall"
)

// own reports whether the file belongs to this user.
func own(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}
