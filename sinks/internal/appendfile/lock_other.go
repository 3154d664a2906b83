//go:build !unix

package appendfile

import "os"

// lock does nothing, because there is no flock. Users must not write to a file from two processes.
func lock(*os.File) error { return nil }

// removed reports false, because a file that is open cannot be removed.
func removed(os.FileInfo) bool { return false }
