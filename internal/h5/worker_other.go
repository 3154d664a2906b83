//go:build !linux

package h5

import (
	"os"
	"os/exec"
)

// tieToParent does nothing here: a worker ends when its pipe is closed, which also happens when the parent dies.
func tieToParent(*exec.Cmd) {}

func widen(*os.File) {}

// Shared memory is used on Linux only: elsewhere, values go through the pipe.
func shareMemory() (*os.File, []byte) { return nil, nil }
func sharedMemory(uintptr) []byte     { return nil }
func unmap([]byte)                    {}
