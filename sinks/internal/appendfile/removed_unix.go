//go:build unix

package appendfile

import (
	"os"
	"syscall"
)

// removed reports whether a file that is open has no name any more.
func removed(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Nlink == 0
}
