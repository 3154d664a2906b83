//go:build unix

package conns

import (
	"math"

	"golang.org/x/sys/unix"
)

// descriptors returns how many descriptors the process may open.
func descriptors() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 2 * maxTotal
	}
	return int(min(uint64(r.Cur), math.MaxInt32)) //nolint:unconvert // signed on some systems
}
