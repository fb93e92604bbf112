//go:build !linux

package envoy

import "syscall"

// childAttributes keeps a terminal's Ctrl-C from the child: its owner stops it.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
