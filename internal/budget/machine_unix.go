//go:build unix

package budget

import (
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"golang.org/x/sys/unix"
)

// addressSpace returns three quarters of the limit of the address space: the rest is reserved, but not used, by the
// threads and allocators.
func addressSpace() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &r); err != nil {
		return 0, err
	}
	if n := r.Cur; n < math.MaxInt64 {
		return n / 4 * 3, nil
	}
	return 0, memlimit.ErrNoLimit
}
