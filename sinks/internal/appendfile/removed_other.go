//go:build !unix

package appendfile

import "os"

// removed reports false, because a file that is open cannot be removed.
func removed(os.FileInfo) bool { return false }
