//go:build linux || darwin

package watch

import (
	"os"
	"syscall"
)

// statusTime returns the time of the last change of a file's content, name or permissions in nanoseconds since 1970.
func statusTime(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		at := changeTime(st)
		return at.Nano()
	}
	return 0
}
