package embedded

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockAt is far behind the pid, which must stay readable to the process that did not get the lock.
const lockAt = 1 << 20

func tryLock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
		&windows.Overlapped{Offset: lockAt})
}
