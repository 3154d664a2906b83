package sandbox

import (
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// separate gives a worker a session of its own, which signals from a terminal do not reach, and makes the kernel kill
// it when the parent dies for any reason.
func separate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// LimitCPU limits the processor time that the worker may use from now on. Beyond it, the worker ends.
func (c *Child) LimitCPU(d time.Duration) error {
	// CLOCK_PROCESS_CPUTIME_ID of another process: the complement of its ID and the number 2, CPUCLOCK_SCHED
	// (clock_getcpuclockid(3)).
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^c.Pid())<<3|2, &used); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	limit := unix.Rlimit{Cur: uint64(used.Sec) + uint64(d/time.Second) + 1, Max: unix.RLIM_INFINITY}
	var old unix.Rlimit
	if err := unix.Prlimit(c.Pid(), unix.RLIMIT_CPU, nil, &old); err != nil {
		return os.NewSyscallError("prlimit", err)
	}
	limit.Max = old.Max
	limit.Cur = min(limit.Cur, limit.Max)
	return os.NewSyscallError("prlimit", unix.Prlimit(c.Pid(), unix.RLIMIT_CPU, &limit, nil))
}

// shareMemory returns a file of shared memory for a worker and its mapping. They are nil if the kernel refuses. The
// size is sealed, so that a worker cannot cut the file off under the mapping.
func shareMemory(size int) (*os.File, []byte) {
	fd, err := unix.MemfdCreate("voxelstream-worker", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil
	}
	f := os.NewFile(uintptr(fd), "shared memory")
	if f.Truncate(int64(size)) == nil {
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
	if err := unix.Fstat(int(fd), &info); err != nil || info.Mode&unix.S_IFMT != unix.S_IFREG || info.Size == 0 {
		return nil
	}
	seals, err := unix.FcntlInt(fd, unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil
	}
	m, err := unix.Mmap(int(fd), 0, int(info.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
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
