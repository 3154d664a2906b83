package inject

import "golang.org/x/sys/unix"

// legacy has the calls that newer architectures lack. C libraries still use some of them.
var legacy = map[int32]trap{
	unix.SYS_OPEN:     {Open, byPath},
	unix.SYS_CREAT:    {Create, byPath},
	unix.SYS_RENAME:   {Rename, byPath},
	unix.SYS_RENAMEAT: {Rename, byPathsAt},
	unix.SYS_UNLINK:   {Remove, byPath},
	unix.SYS_RMDIR:    {Remove, byPath},
	unix.SYS_MKDIR:    {Mkdir, byPath},
}
