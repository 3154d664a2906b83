package h5

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// tieToParent makes the kernel kill the child when the parent dies for any reason.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// widen requests the largest pipe available to an unprivileged user, for fewer context switches per block.
func widen(pipe *os.File) {
	if c, err := pipe.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
}

// sharedBytes is the size of the shared memory: one block of values.
const sharedBytes = blockBytes

// shareMemory returns a file of shared memory for a worker and its mapping. They are nil if the kernel refuses; values
// then go through the pipe. The size is sealed, so that a worker cannot cut the file off under the mapping.
func shareMemory() (*os.File, []byte) {
	fd, err := unix.MemfdCreate("voxelstream-h5", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil
	}
	f := os.NewFile(uintptr(fd), "shared memory")
	if f.Truncate(sharedBytes) == nil {
		_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
		if m := sharedMemory(f.Fd()); err == nil && m != nil {
			return f, m
		}
	}
	_ = f.Close()
	return nil, nil
}

// sharedMemory maps the shared memory of a descriptor. It returns nil if there is none.
func sharedMemory(fd uintptr) []byte {
	var info unix.Stat_t
	if err := unix.Fstat(int(fd), &info); err != nil || info.Size != sharedBytes {
		return nil
	}
	m, err := unix.Mmap(int(fd), 0, sharedBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	return m
}

// unmap ends a mapping of shared memory.
func unmap(m []byte) {
	if m != nil {
		_ = unix.Munmap(m)
	}
}
