//go:build cgo && !nohdf5 && unix

package h5

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The worker's own limits. Two gigabytes of address space suffice for Go, libhdf5 and the largest row, and make a
// decompression bomb fail to allocate.
const (
	addressSpace = 2 << 30
	cpuSeconds   = uint64(2 * requestTimeout / time.Second) // for one request
)

// limitResources limits the resources of this process. Builds with a race detector, which maps terabytes of shadow
// memory, have no address space limit.
func limitResources() error {
	// A core file could be large and would contain the file's data.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("core size: %w", err)
	}
	if !instrumented {
		if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: addressSpace, Max: addressSpace}); err != nil {
			return fmt.Errorf("address space: %w", err)
		}
	}
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGXCPU)
	go func() {
		<-over
		fmt.Fprintf(os.Stderr, "more than %d s of processor time for one request\n", cpuSeconds)
		os.Exit(1)
	}()
	return nil
}

// renewCPULimit gives the next request its full processor time, regardless of earlier requests.
func renewCPULimit() error {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return err
	}
	seconds := uint64(used.Utime.Sec) + uint64(used.Stime.Sec)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CPU, &limit); err != nil {
		return err
	}
	limit.Cur = min(seconds+cpuSeconds, limit.Max, math.MaxInt64)
	return unix.Setrlimit(unix.RLIMIT_CPU, &limit)
}
