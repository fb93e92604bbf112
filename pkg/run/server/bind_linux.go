package server

import (
	"context"
	"net"
	"os"
	"syscall"
)

// bind makes a socket that has at most mode when it becomes visible: Linux gives the file
// the mode of the bound descriptor (unix_bind in net/unix/af_unix.c).
func bind(path string, mode os.FileMode) (net.Listener, error) {
	before := func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), uint32(mode.Perm())) }); err != nil {
			return err
		}
		return failed
	}
	return (&net.ListenConfig{Control: before}).Listen(context.Background(), "unix", path)
}
