//go:build unix

package watchdog

import (
	"syscall"
	"time"
)

// processorTime returns how much processor time this process has used so far.
func processorTime() (used time.Duration, known bool) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, false
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), true
}
