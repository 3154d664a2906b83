//go:build !unix

package mutants

import "time"

var start = time.Now()

// processorTime is the time on the clock: what the process has used is not known here.
func processorTime() time.Duration { return time.Since(start) }
