package sandbox

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// confine gives up everything that this process and its threads, those of C libraries too, can do without. What the
// kernel lacks is left out.
func confine() Parts {
	var p Parts
	fail := func(what string, err error) bool {
		if err != nil {
			p.Failures = append(p.Failures, what+": "+err.Error())
		}
		return err == nil
	}
	fail("inherited descriptors", closeInherited())
	p.NoNewPrivileges = fail("no new privileges", allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0))
	p.NoCapabilities = fail("capabilities", dropCapabilities())
	var err error
	p.Landlock, err = restrictFiles()
	fail("landlock", err)
	p.Seccomp = fail("seccomp", filterCalls())
	return p
}

// allThreads makes a system call in every thread. On Linux, rights belong to threads.
func allThreads(call, a, b, c uintptr) error {
	if _, _, errno := psx.Syscall6(call, a, b, c, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// keptFiles is the number of descriptors that a worker was given: the standard ones, the socket and the memory.
const keptFiles = 5

// closeInherited closes what this process inherited without being given it: descriptors that are not closed by exec, which
// the runtime's own are. The parent may have inherited them itself.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < keptFiles {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// dropCapabilities leaves none, which matters if the program runs as root. There is nothing to take out of the bounding
// set: no program can be started any more.
func dropCapabilities() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	err := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&none[0])), 0)
	runtime.KeepAlive(&head)
	runtime.KeepAlive(&none)
	return err
}

// restrictFiles takes away, for all threads, whatever this kernel's landlock can: the file system, the network, signals to
// other processes. It returns the version of landlock.
func restrictFiles() (version int, err error) {
	if version = landlockVersion(); version == 0 {
		return 0, errors.New("the kernel has none, or it is switched off")
	}
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return 0, err
	}
	return version, nil
}

// landlockVersion returns the version of the kernel's landlock, 0 without.
func landlockVersion() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// allowed are the system calls that Go's runtime, libhdf5 and the C library need for computing with what is open
// already. Everything else fails with EPERM: no file is opened, no socket made, no process started or looked at, no
// signal sent to another process.
var allowed = []string{
	// memory
	"brk", "mmap", "mprotect", "munmap", "mremap", "madvise", "mincore", "membarrier",
	// threads and time
	"futex", "set_robust_list", "rseq", "gettid", "getpid", "exit", "exit_group", "sched_yield", "sched_getaffinity",
	"nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "restart_syscall", "getrusage",
	// signals to oneself
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "rt_sigtimedwait",
	// what is open
	"read", "readv", "pread64", "preadv", "write", "writev", "close", "fstat", "lseek", "flock",
	"recvmsg", "recvfrom", "sendmsg", "sendto", "shutdown", "getsockopt",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2", "poll", "ppoll",
	"getrandom",
}

// Flags of clone that a thread has and a process has not.
const threadFlags = unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND

// withArgument is a call with one value of an argument, counted from 0.
func withArgument(call string, argument uint32, value uint64) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: call, Conditions: seccomp.ArgumentConditions{
		{Argument: argument, Operation: seccomp.Equal, Value: value},
	}}
}

// filterCalls installs the filter in all threads. It is the last step: it refuses those before it.
func filterCalls() error {
	table, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	known := slices.DeleteFunc(slices.Clone(allowed), func(name string) bool {
		_, ok := table.SyscallNames[name]
		return !ok
	})
	self := uint64(os.Getpid())
	own := []seccomp.NameWithConditions{
		withArgument("tgkill", 0, self),
		withArgument("kill", 0, self),
		withArgument("prctl", 0, unix.PR_SET_VMA), // the runtime names its memory
	}
	for _, command := range []uint64{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC} {
		own = append(own, withArgument("fcntl", 1, command)) // F_SETOWN, for one, has signals sent
	}
	// All bits must be set, and the library's condition is met by one: a condition for each.
	var thread seccomp.ArgumentConditions
	for bit := uint64(1); bit <= threadFlags; bit <<= 1 {
		if threadFlags&bit != 0 {
			thread = append(thread, seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: bit})
		}
	}
	own = append(own, seccomp.NameWithConditions{Name: "clone", Conditions: thread})
	const noSuchCall = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				{Action: seccomp.ActionAllow, Names: known, NamesWithCondtions: own},
				// Its flags are in memory, where a filter does not see them; the C library then uses clone.
				{Action: noSuchCall, Names: []string{"clone3"}},
			},
		},
	})
}
