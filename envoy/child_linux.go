package envoy

import "syscall"

// childAttributes ends the child when this process ends, however that happens. It keeps a
// terminal's Ctrl-C from the child: its owner stops it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
