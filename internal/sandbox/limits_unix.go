//go:build unix

package sandbox

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitResources limits the resources of this process, for good. The number of processes is not limited: the limit
// counts those of the whole user, among them other programs'. A worker cannot start any.
func limitResources(l Limits) error {
	set := func(what string, resource int, value uint64) error {
		var now unix.Rlimit
		err := unix.Getrlimit(resource, &now)
		if err == nil {
			now.Max = min(now.Max, value) // nobody may raise a limit
			now.Cur = now.Max
			err = unix.Setrlimit(resource, &now)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	// A core file could be large and would contain the input's data. Files are not written.
	if err := set("core size", unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	if !Instrumented {
		if err := set("file size", unix.RLIMIT_FSIZE, 0); err != nil {
			return err
		}
		if l.Memory > 0 {
			if err := set("address space", unix.RLIMIT_AS, uint64(l.Memory)); err != nil {
				return err
			}
		}
	}
	if err := set("open files", unix.RLIMIT_NOFILE, uint64(l.Files)); err != nil {
		return err
	}
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGXCPU)
	go func() {
		<-over
		fmt.Fprintln(os.Stderr, "the limit of processor time is reached")
		os.Exit(1)
	}()
	return nil
}
