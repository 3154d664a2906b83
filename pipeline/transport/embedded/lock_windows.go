package embedded

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockAt is beyond the PID in the file, which another process must still be able to read.
const lockAt = 1 << 20

func tryLock(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: lockAt})
}
