//go:build unix

// Command filters runs a step of package perception repeatedly for some seconds, on one core: filters STEP POINTS SECONDS
// RESULT. POINTS holds x, y, z, intensity as float32. It writes the points that remain in the same way, or the normals as
// x, y, z, and prints the median processor time in milliseconds, including garbage collection. run.py in the same
// directory does the same with Open3D and PCL.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"

	"github.com/voxelstream/voxelstream/bench/perception/timing"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/perception"
)

// settings are those of run.py and pcl/pcl.cpp.
var settings = map[string]string{
	"downsample_edge": "0.2", "outliers_neighbours": "20", "outliers_deviations": "2", "outliers_radius": "0.5",
	"outliers_radius_neighbours": "5", "normals_neighbours": "20",
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: filters STEP POINTS SECONDS RESULT")
	}
	o := perception.DefaultOptions()
	o.Scan, o.Frame = args[:1], nil
	for _, f := range option.Settings(&o) {
		if text, ok := settings[f.Path]; ok {
			if err := f.Set(text); err != nil {
				return err
			}
		}
	}
	detector, err := perception.New(o)
	if err != nil {
		return err
	}
	cloud, err := timing.Read(args[1], 4)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return err
	}
	scene, ms, err := timing.Detect(detector, cloud, seconds)
	if err != nil {
		return err
	}
	fmt.Printf("%.3f\n", ms)
	return write(args[3], scene)
}

func write(path string, s *perception.Scene) error {
	var values []float32
	for _, n := range s.Normals {
		values = append(values, n[:]...)
	}
	if s.Normals == nil {
		c := s.Cloud
		for i := range c.X {
			values = append(values, float32(c.X[i]), float32(c.Y[i]), float32(c.Z[i]), c.Intensity[i])
		}
	}
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, values); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o600)
}
