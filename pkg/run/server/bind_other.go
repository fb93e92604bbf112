//go:build !unix

package server

import (
	"net"
	"os"
)

// bind leaves the mode to the folder, since this system offers nothing else.
func bind(path string, _ os.FileMode) (net.Listener, error) { return net.Listen("unix", path) }
