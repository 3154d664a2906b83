//go:build unix

package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	return s.Bavail * uint64(s.Bsize), err
}

// leastFiles is enough for a broker with its log segments and a few hundred connections.
const leastFiles = 1024

func checkLimits() []Check {
	c := Check{Name: "open files"}
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		c.Found = err.Error()
		return []Check{c}
	}
	c.OK, c.Found = r.Cur >= leastFiles, fmt.Sprintf("limit %d", r.Cur)
	if !c.OK {
		c.Advice = fmt.Sprintf("ulimit -n %d", leastFiles)
	}
	return []Check{c}
}
