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

// The worker's own limits. Two gigabytes of address space is what Go, libhdf5 and the largest row need together;
// with it a decompression bomb ends as a failed allocation.
const (
	addressSpace = 2 << 30
	cpuSeconds   = uint64(2 * requestTimeout / time.Second) // for one request
)

// limitResources bounds this process. Race detectors map terabytes of shadow memory, so builds with one go without
// the address limit.
func limitResources() error {
	// A core file could be large and would hold what the file holds.
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

// renewCPULimit allows the next request its processor time, whatever the earlier ones took.
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
