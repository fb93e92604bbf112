package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Listen opens a TCP address, or a socket if address is unix:///path. It replaces a socket
// that a process left behind, unless somebody answers on it. The socket has mode from the
// first moment, so that nobody else can connect before it is set.
func Listen(address string, mode os.FileMode) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(address, "unix://")
	if !isSocket {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there and is no socket", path)
		}
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s is served by another process", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := bind(path, mode)
	if err != nil {
		return nil, err
	}
	// The umask may have removed more than requested.
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
