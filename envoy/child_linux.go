package envoy

import "syscall"

// childAttributes let the child end with this process, however that ends, and keep
// a terminal's Ctrl-C from it: its owner stops it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
