//go:build unix

package models

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity returns the device and number of a file, which differ if a file is replaced by one of the same size and
// time.
func identity(info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
	}
	return ""
}
