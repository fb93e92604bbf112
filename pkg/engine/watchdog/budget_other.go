//go:build !unix

package watchdog

import "time"

// processorTime returns nothing: this system does not report it.
func processorTime() (used time.Duration, known bool) { return 0, false }
