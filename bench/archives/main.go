// Command archives reads an HDF5 archive of grids and prints the number of rows, the seconds, and the processor seconds
// of this process and its worker: archives FILE. run.py in the same directory does the same in Python.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/h5"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: archives FILE")
	}
	ctx, begin := context.Background(), time.Now()
	src, err := h5.Open(ctx, args[1], h5.Options{})
	if err != nil {
		return err
	}
	rows := 0
	for {
		s, readErr := src.Read(ctx)
		if err = readErr; err != nil {
			break
		}
		if _, ok := s.Data.(*ingest.Grid); !ok {
			return fmt.Errorf("%s: found %T, want grids", args[1], s.Data)
		}
		rows++
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if err := src.Close(); err != nil {
		return err
	}
	fmt.Println(rows, time.Since(begin).Seconds(), cpu().Seconds())
	return nil
}

// cpu returns the processor time of this process and of the worker, which has ended.
func cpu() time.Duration {
	var total time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}
