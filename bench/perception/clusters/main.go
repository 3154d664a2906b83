//go:build unix

// Command clusters finds Euclidean clusters repeatedly for some seconds, on one core: clusters POINTS RADIUS LABELS
// SECONDS. POINTS holds x, y, z as float32. It writes the label of each point as int32 and prints the median processor
// time in milliseconds, including garbage collection. run.py in the same directory does the same with Open3D and PCL.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"

	"github.com/voxelstream/voxelstream/bench/perception/timing"
	"github.com/voxelstream/voxelstream/perception"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: clusters POINTS RADIUS LABELS SECONDS")
	}
	cloud, err := timing.Read(args[0], 3)
	if err != nil {
		return err
	}
	radius, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(args[3], 64)
	if err != nil {
		return err
	}
	options := perception.DefaultOptions()
	options.Scan = []string{string(perception.Euclidean.Name)}
	for _, step := range options.Steps {
		if o, ok := step.(*perception.ClusterOptions); ok {
			o.Radius, o.MinPoints, o.MaxExtent = radius, 1, 0
		}
	}
	detector, err := perception.New(options)
	if err != nil {
		return err
	}
	scene, ms, err := timing.Detect(detector, cloud, seconds)
	if err != nil {
		return err
	}
	fmt.Println(ms)
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, scene.Cluster); err != nil {
		return err
	}
	return os.WriteFile(args[2], out.Bytes(), 0o600)
}
