//go:build unix && !linux

package server

import (
	"net"
	"os"
	"syscall"
)

// bind makes a socket that has at most mode when it becomes visible. The umask belongs to
// the whole process, and is restored at once.
func bind(path string, mode os.FileMode) (net.Listener, error) {
	was := syscall.Umask(int(^mode.Perm() & 0o777))
	defer syscall.Umask(was)
	return net.Listen("unix", path)
}
