//go:build !linux

package sandbox

import (
	"os"
	"os/exec"
	"time"
)

// separate does nothing here: a worker ends when its connection is closed, which also happens when the parent dies.
func separate(*exec.Cmd) {}

// LimitCPU does nothing here: only the parent's deadline limits a worker.
func (c *Child) LimitCPU(time.Duration) error { return nil }

// Shared memory is used on Linux only: elsewhere, values go through the connection.
func shareMemory(int) (*os.File, []byte) { return nil, nil }
func sharedMemory(uintptr) []byte        { return nil }
func unmap([]byte)                       {}

func confine() Parts { return Parts{Failures: []string{"only Linux has them"}} }
