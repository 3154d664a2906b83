//go:build !amd64

package inject

import "golang.org/x/sys/unix"

var legacy = map[int32]trap{unix.SYS_RENAMEAT: {Rename, byPathsAt}}
