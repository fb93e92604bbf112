//go:build !unix

package watchdog

import "time"

// processorTime returns nothing: the system does not say.
func processorTime() (used time.Duration, known bool) { return 0, false }
