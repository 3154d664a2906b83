// Command voxelstream converts depth frames, lidar scans and HDF5 archives to voxel grids, streams them through Kafka
// and classifies them with a 3D convolutional network. This package contains flags, signal handling, printing and exit
// codes. The work of the commands is in package app.
package main

import (
	"fmt"
	"os"

	"github.com/voxelstream/voxelstream/internal/screen"
)

//go:generate go run . docs ../..

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs one command line and returns the exit code.
func execute(args []string) int { return (&cli{out: os.Stdout}).execute(args) }

func (c *cli) execute(args []string) int {
	root := c.root()
	root.SetOut(c.out)
	root.SetArgs(args)
	err := root.Execute()
	code := c.exitCode(err)
	if err != nil {
		fmt.Fprintln(os.Stderr, "voxelstream:", screen.Visible(err.Error()))
	}
	return code
}
