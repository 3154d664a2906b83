//go:build unix

// Package timing runs steps of package perception for some seconds, on one core, for the programs that compare them with
// those of other libraries.
package timing

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/perception"
)

// Read reads points from a file of float32 numbers in little-endian order: x, y and z if columns is 3, and the intensity
// too if it is 4.
func Read(path string, columns int) (*ingest.PointCloud, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := make([]float32, len(data)/(4*columns)*columns)
	if _, err := binary.Decode(data, binary.LittleEndian, values); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c := &ingest.PointCloud{}
	for p := range slices.Chunk(values, columns) {
		c.X, c.Y, c.Z = append(c.X, float64(p[0])), append(c.Y, float64(p[1])), append(c.Z, float64(p[2]))
		if columns == 4 {
			c.Intensity = append(c.Intensity, p[3])
		}
	}
	return c, nil
}

// Detect detects the same cloud again and again for some seconds of processor time, on one core. It returns the last
// scene and the median processor time in milliseconds, including garbage collection.
func Detect(d *perception.Detector, c *ingest.PointCloud, seconds float64) (scene *perception.Scene, ms float64,
	err error,
) {
	runtime.GOMAXPROCS(1)
	var times []float64
	for begin := processorTime(); processorTime()-begin < time.Duration(seconds*float64(time.Second)); {
		start := processorTime()
		if scene, err = d.Detect(context.Background(), ingest.Sample{Data: c}); err != nil {
			return nil, 0, err
		}
		times = append(times, (processorTime()-start).Seconds()*1e3)
	}
	if len(times) == 0 {
		return nil, 0, fmt.Errorf("found %g seconds, want more than 0", seconds)
	}
	slices.Sort(times)
	return scene, times[len(times)/2], nil
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
