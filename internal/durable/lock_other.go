//go:build !unix

package durable

import (
	"io/fs"
	"os"
)

// NoFollow does nothing.
const NoFollow = 0

// lock does nothing, because there is no flock. Users must not write to a file from two processes.
func lock(*os.File) error { return nil }

func share(*os.File) error { return nil }

// mine returns false: without locks, there is no telling whose files are left.
func mine(fs.FileInfo) bool { return false }

func takeOwner(string, fs.FileInfo) {}
