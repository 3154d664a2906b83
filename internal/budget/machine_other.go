//go:build !unix

package budget

import "github.com/KimMachineGun/automemlimit/memlimit"

// addressSpace knows no limit on this platform.
func addressSpace() (uint64, error) { return 0, memlimit.ErrNoLimit }
