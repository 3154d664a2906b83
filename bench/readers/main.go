// Command readers reads a file repeatedly for some seconds, on one core, and prints the number of points read per
// second of processor time: readers FILE SECONDS. run.py in the same directory does the same with Python libraries.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

func main() {
	rate, err := measure(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(rate)
}

// measure returns the points read per second of processor time, including garbage collection.
func measure(args []string) (float64, error) {
	if len(args) != 3 {
		return 0, fmt.Errorf("usage: readers FILE SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return 0, err
	}
	runtime.GOMAXPROCS(1)
	points := 0
	begin := processorTime()
	for processorTime()-begin < time.Duration(seconds*float64(time.Second)) {
		n, err := read(args[1])
		if err != nil {
			return 0, err
		}
		points += n
	}
	return float64(points) / (processorTime() - begin).Seconds(), nil
}

func read(path string) (int, error) {
	src, err := formats.Open(context.Background(), path, ingest.Options{})
	if err != nil {
		return 0, err
	}
	defer src.Close() //nolint:errcheck // opened for reading
	points := 0
	for {
		s, err := src.Read(context.Background())
		if errors.Is(err, io.EOF) {
			return points, nil
		}
		if err != nil {
			return 0, err
		}
		p, ok := s.Data.(*ingest.PointCloud)
		if !ok {
			return 0, fmt.Errorf("%s: found %T, want a cloud", path, s.Data)
		}
		points += p.Len()
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
