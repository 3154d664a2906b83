//go:build unix

// Command ground writes scans of simulated streets with their truth, and finds their ground. run.py in the same
// directory compares it with Patchwork++.
//
//	ground scans FOLDER SEED COUNT        COUNT streets for each sensor and kind of street, from a seed
//	ground find POINTS STEP MARKS SECONDS
//
// Files of points hold x, y, z and intensity as float32, those of marks and of the truth a byte for each point: 1 for
// ground. The first form prints a line with file, sensor, kind of street and height of the sensor for each scan, the
// second one the median processor time in milliseconds, including garbage collection.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/voxelstream/voxelstream/bench/perception/timing"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/perception"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "scans":
		seed, err := strconv.ParseUint(args[2], 10, 32)
		if err != nil {
			return err
		}
		count, err := strconv.ParseUint(args[3], 10, 32)
		if err != nil {
			return err
		}
		return writeScans(args[1], seed, count)
	case len(args) == 5 && args[0] == "find":
		seconds, err := strconv.ParseFloat(args[4], 64)
		if err != nil {
			return err
		}
		return find(args[1], args[2], args[3], seconds)
	}
	return errors.New("usage: ground scans FOLDER SEED COUNT | ground find POINTS STEP MARKS SECONDS")
}

// kinds are the kinds of streets and sensors. The sensor looks down by tilt degrees.
var kinds = []struct {
	name                string
	street              simulate.StreetOptions
	tilt                float64
	clutter, divergence float64
}{
	{name: "parked"},
	{name: "drive", street: simulate.StreetOptions{Moving: true, Speed: 10, Density: 1.5}, tilt: 1},
	{name: "hills", street: simulate.StreetOptions{Moving: true, Speed: 10, Slope: 0.1}},
	{
		name: "rain", street: simulate.StreetOptions{Moving: true, Speed: 10, Slope: 0.03}, tilt: 2,
		clutter: 3e-3, divergence: 3e-3,
	},
	{name: "robot", street: simulate.StreetOptions{Height: 0.5, Speed: 2}, tilt: 1},
	{name: "handheld", street: simulate.StreetOptions{Height: 1.3, Speed: 2, Slope: 0.05}, tilt: 6, divergence: 1e-3},
}

func writeScans(folder string, seed, count uint64) error {
	for _, sensor := range simulate.Lidars {
		for _, k := range kinds {
			l := sensor
			l.Clutter, l.Divergence = k.clutter, k.divergence
			for s := seed; s < seed+count; s++ {
				cloud, truth := l.Scan(simulate.Street(s, k.street), 0)
				sin, cos := math.Sincos(k.tilt * math.Pi / 180)
				var points bytes.Buffer
				var marks []byte
				for i, x := range cloud.X {
					p := [4]float32{
						float32(cos*x - sin*cloud.Z[i]), float32(cloud.Y[i]), float32(sin*x + cos*cloud.Z[i]), cloud.Intensity[i],
					}
					if err := binary.Write(&points, binary.LittleEndian, p); err != nil {
						return err
					}
					mark := byte(0)
					if truth.Class[i].Ground() {
						mark = 1
					}
					marks = append(marks, mark)
				}
				file := filepath.Join(folder, fmt.Sprintf("%s-%s-%d", l.Name, k.name, s))
				if err := os.WriteFile(file, points.Bytes(), 0o600); err != nil {
					return err
				}
				if err := os.WriteFile(file+".truth", marks, 0o600); err != nil {
					return err
				}
				height := k.street.Height
				if height == 0 {
					height = 1.73
				}
				fmt.Println(file, l.Name, k.name, height)
			}
		}
	}
	return nil
}

func find(points, name, marks string, seconds float64) error {
	c, err := timing.Read(points, 4)
	if err != nil {
		return err
	}
	detector, err := perception.New(perception.Options{Scan: []string{name}})
	if err != nil {
		return err
	}
	scene, ms, err := timing.Detect(detector, c, seconds)
	if err != nil {
		return err
	}
	fmt.Println(ms)
	out := make([]byte, c.Len())
	for i, g := range scene.Ground {
		if g {
			out[i] = 1
		}
	}
	return os.WriteFile(marks, out, 0o600)
}
