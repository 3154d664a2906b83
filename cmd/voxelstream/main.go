// Command voxelstream converts depth frames, lidar scans and HDF5 archives to voxel grids, streams them through Kafka
// and classifies them with a 3D convolutional network. This package contains flags, signal handling, printing and exit
// codes. The work of the commands is in package app.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/screen"
)

//go:generate go run . docs ../..
//go:generate go run ../../internal/notices ../..

func main() {
	c := &cli{terminal: true}
	c.out, c.err = c.signals.pipe(os.Stdout), c.signals.pipe(os.Stderr)
	code := c.execute(os.Args[1:])
	durable.Abandon()
	os.Exit(code)
}

// maxError is the maximum size in bytes of the error that is printed. It may consist of several.
const maxError = 64 << 10

// execute runs a command line and returns the exit code.
func (c *cli) execute(args []string) int {
	c.err = cmp.Or[io.Writer](c.err, os.Stderr)
	root := c.root()
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetArgs(args)
	err := cmp.Or(root.Execute(), c.misspelt)
	code := c.exitCode(err)
	if err == nil || c.signals.broken() {
		return code
	}
	if errors.Is(err, context.Canceled) && c.signals.code() > 0 {
		err = app.ErrInterrupted
	}
	text := clip.To(durable.Named(c.streams.shown(err.Error())), maxError)
	if c.records != nil {
		c.records.Error(text, "exit_code", code)
		return code
	}
	fmt.Fprintln(c.err, "voxelstream:", screen.Indented(text))
	return code
}
