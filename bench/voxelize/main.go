//go:build unix

// Command voxelize voxelizes points, or maps values to colours, repeatedly for some seconds on one core, and prints the
// microseconds of processor time per call: voxelize FILE METHOD GRID SECONDS. FILE holds float64 numbers: the x, then
// the y, then the z of all points, or for METHOD colours the values of the cells. run.py in the same directory does the
// same with Python libraries.
package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

func main() {
	runtime.GOMAXPROCS(1)
	spent, err := measure(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(spent)
}

// measure returns the microseconds of processor time per call, including garbage collection.
func measure(args []string) (float64, error) {
	if len(args) != 5 {
		return 0, fmt.Errorf("usage: voxelize FILE METHOD GRID SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[4], 64)
	if err != nil {
		return 0, err
	}
	values, err := read(args[1])
	if err != nil {
		return 0, err
	}
	run, err := runner(args[2], args[3], values)
	if err != nil {
		return 0, err
	}
	calls := 0
	begin := processorTime()
	for processorTime()-begin < time.Duration(seconds*float64(time.Second)) {
		for range 10 { // asking for the time takes time
			if err := run(); err != nil {
				return 0, err
			}
			calls++
		}
	}
	return float64((processorTime() - begin).Nanoseconds()) / 1e3 / float64(calls), nil
}

// read reads float64 numbers.
func read(path string) ([]float64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(data)/8)
	for i := range values {
		values[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return values, nil
}

// runner returns what is measured.
func runner(method, grid string, values []float64) (func() error, error) {
	if method == "colours" {
		palette, err := colormap.ByName("Oranges")
		index, rgb := make([]uint8, len(values)), make([]float32, 3*len(values))
		return func() error {
			colormap.Index(index, values)
			palette.Expand(rgb, index)
			return nil
		}, err
	}
	o := voxelize.DefaultOptions()
	o.Method = voxelize.MethodName(method)
	if err := o.Dims.UnmarshalText([]byte(grid)); err != nil {
		return nil, err
	}
	v, err := voxelize.New(o)
	if err != nil {
		return nil, err
	}
	n := len(values) / 3
	s := ingest.Sample{Data: &ingest.PointCloud{X: values[:n], Y: values[n:][:n], Z: values[2*n:][:n]}}
	return func() error {
		_, err := v.Field(s)
		return err
	}, nil
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
