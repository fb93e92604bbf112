//go:build !unix

package rego

import "time"

// processorTime returns nothing: the system does not say.
func processorTime() (used time.Duration, known bool) { return 0, false }
