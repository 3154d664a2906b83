//go:build !unix

package durable

import "os"

// lock does nothing, because there is no flock. Users must not write to a file from two processes.
func lock(*os.File) error { return nil }
