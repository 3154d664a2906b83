package sandbox

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw makes a system call and returns its error.
func raw(call uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall6(call, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func pointer(name string) uintptr {
	b, err := unix.BytePtrFromString(name)
	if err != nil {
		panic(err)
	}
	keep = append(keep, b)
	return uintptr(unsafe.Pointer(b))
}

var keep []*byte

// fork makes a process that ends at once.
func fork(flags uintptr) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return err
}

// clone3 is fork by its newer call, whose arguments are in memory.
func clone3() error {
	args := [8]uint64{4: uint64(unix.SIGCHLD)}
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return err
}

// attempts are what a worker that was taken over might try. The name may have an argument.
var attempts = map[string]func(argument int) error{
	"open":           func(int) error { return closing(os.Open("/etc/passwd")) },
	"open-self":      func(int) error { return closing(os.Open("/proc/self/exe")) },
	"open-environ":   func(int) error { return closing(os.Open(fmt.Sprintf("/proc/%d/environ", os.Getppid()))) },
	"open-memory":    func(int) error { return closing(os.OpenFile(fmt.Sprintf("/proc/%d/mem", os.Getppid()), os.O_RDWR, 0)) },
	"list":           func(int) error { _, err := os.ReadDir("/"); return err },
	"stat":           func(int) error { _, err := os.Stat("/etc/passwd"); return err },
	"write":          func(int) error { return closing(os.Create(filepath.Join(os.TempDir(), "voxelstream-sandbox-test"))) },
	"mkdir":          func(int) error { return os.Mkdir(filepath.Join(os.TempDir(), "voxelstream-sandbox-test.d"), 0o700) },
	"remove":         func(int) error { return unix.Unlink(filepath.Join(os.TempDir(), "voxelstream-sandbox-test")) },
	"chdir":          func(int) error { return os.Chdir("/tmp") },
	"memfd":          func(int) error { fd, err := unix.MemfdCreate("x", 0); _ = unix.Close(fd); return err },
	"open-in-thread": func(int) error { return inThreads(func() error { return closing(os.Open("/etc/passwd")) }) },
	"socket":         func(int) error { return socket(unix.AF_INET, unix.SOCK_STREAM) },
	"socket-udp":     func(int) error { return socket(unix.AF_INET6, unix.SOCK_DGRAM) },
	"socket-unix":    func(int) error { return socket(unix.AF_UNIX, unix.SOCK_STREAM) },
	"socket-netlink": func(int) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW) },
	"socket-packet":  func(int) error { return socket(unix.AF_PACKET, unix.SOCK_RAW) },
	"connect": func(port int) error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Minute)
		if err == nil {
			err = c.Close()
		}
		return err
	},
	"exec": func(int) error { return unix.Exec("/bin/true", []string{"true"}, nil) },
	"execveat": func(int) error {
		return raw(unix.SYS_EXECVEAT, uintptr(3), pointer(""), 0, 0, unix.AT_EMPTY_PATH)
	},
	"command":    func(int) error { return exec.Command("/bin/true").Run() },
	"fork":       func(int) error { return fork(0) },
	"vfork-like": func(int) error { return fork(unix.CLONE_PARENT) },
	"namespace":  func(int) error { return fork(unix.CLONE_NEWUSER) },
	"clone3":     func(int) error { return clone3() },
	"unshare":    func(int) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"setns":      func(int) error { return unix.Setns(3, 0) },
	"mount":      func(int) error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") },
	"chroot":     func(int) error { return unix.Chroot("/tmp") },
	"ptrace":     func(int) error { return raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid())) },
	"ptrace-me":  func(int) error { return raw(unix.SYS_PTRACE, unix.PTRACE_TRACEME) },
	"read-parent": func(int) error {
		var b [8]byte
		local := []unix.Iovec{{Base: &b[0], Len: 8}}
		remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&attemptsMark)), Len: 8}}
		_, err := unix.ProcessVMReadv(os.Getppid(), local, remote, 0)
		return err
	},
	"kill-parent":  func(int) error { return unix.Kill(os.Getppid(), 0) },
	"kill-all":     func(int) error { return unix.Kill(-1, 0) },
	"kill-thread":  func(int) error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
	"pidfd":        func(int) error { fd, err := unix.PidfdOpen(os.Getppid(), 0); _ = unix.Close(fd); return err },
	"limit-parent": func(int) error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, nil, new(unix.Rlimit)) },
	"raise-limit":  func(int) error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}) },
	"sigio":        func(int) error { _, err := unix.FcntlInt(2, unix.F_SETOWN, os.Getppid()); return err },
	"descriptor":   func(fd int) error { _, err := unix.Pread(fd, make([]byte, 1), 0); return err },
	"bpf":          func(int) error { return raw(unix.SYS_BPF, 0, 0, 0) },
	"io_uring":     func(int) error { return raw(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(new([120]byte)))) },
	"keyctl":       func(int) error { return raw(unix.SYS_KEYCTL, 0, ^uintptr(0)) },
	"userfaultfd":  func(int) error { return raw(unix.SYS_USERFAULTFD, 0) },
	"perf": func(int) error {
		return raw(unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(new([128]byte))), 0, 0, 0, 0)
	},
	"modules":  func(int) error { return raw(unix.SYS_INIT_MODULE, 0, 0, pointer("")) },
	"handle":   func(int) error { return raw(unix.SYS_OPEN_BY_HANDLE_AT, 3, 0, 0) },
	"dumpable": func(int) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) },
	"priority": func(int) error { return unix.Setpriority(unix.PRIO_USER, 0, 19) },
	"clock":    func(int) error { return raw(unix.SYS_CLOCK_SETTIME, 0, 0) },
	"setuid":   func(int) error { return raw(unix.SYS_SETUID, uintptr(os.Getuid())) },
}

// attemptsMark is read in the parent by the worker.
var attemptsMark [8]byte

func closing(f *os.File, err error) error {
	if err == nil {
		err = f.Close()
	}
	return err
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind, 0)
	_ = unix.Close(fd)
	return err
}

// inThreads makes an attempt in many threads, the runtime's first ones among them, and returns nil if one succeeds.
func inThreads(f func() error) error {
	const n = 24
	var all sync.WaitGroup
	var ready sync.WaitGroup
	errs := make([]error, n)
	ready.Add(n)
	for i := range n {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			ready.Wait()
			errs[i] = f()
		})
	}
	all.Wait()
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errs[0]
}

func attempt(line string) error {
	name, argument := line, 0
	_, _ = fmt.Sscan(line, &name, &argument)
	f := attempts[name]
	if f == nil {
		return fmt.Errorf("unknown: %q", line)
	}
	return f(argument)
}

// harmless are attempts that succeed in a worker with its rights, whoever runs it: proof that they try something.
var harmless = []string{
	"open", "open-self", "list", "stat", "write", "remove", "mkdir", "chdir", "memfd", "open-in-thread", "socket",
	"socket-udp", "socket-unix", "socket-netlink", "connect", "command", "fork", "clone3", "kill-parent", "kill-thread",
	"pidfd", "limit-parent", "sigio", "descriptor", "dumpable",
}

// TestRefused tries what a worker must not do.
func TestRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // for the test only
	// A descriptor that the parent itself may have inherited from a careless program.
	fd, err := unix.Open("/proc/self/maps", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	leaked, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 30)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(leaked), unix.Close(fd) }()
	arguments := map[string]int{"connect": listener.Addr().(*net.TCPAddr).Port, "descriptor": leaked}

	free := start(t, freeArg)
	for _, name := range harmless {
		if got := ask(t, free, "%s %d", name, arguments[name]); got != "done" {
			t.Errorf("%s: a free worker found %s; the attempt proves nothing", name, got)
		}
	}
	_ = os.Remove(filepath.Join(os.TempDir(), "voxelstream-sandbox-test.d"))
	free.Kill()

	c := start(t, confinedArg)
	p, err := c.Parts(t.Context())
	if err != nil || !p.Complete() {
		t.Fatalf("this kernel does not confine: %s, %v", p.String(), err)
	}
	for name := range attempts {
		got := ask(t, c, "%s %d", name, arguments[name])
		switch {
		case strings.Contains(got, "not permitted"):
		case name == "descriptor" && strings.Contains(got, "bad file descriptor"):
		case name == "clone3" && strings.Contains(got, "not implemented"):
		default:
			t.Errorf("%s: found %q, want that it is not permitted", name, got)
		}
	}
	checkThreads(t, c.Pid())
}

// checkThreads reads what the kernel says about every thread.
func checkThreads(t *testing.T, pid int) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) < 2 {
		t.Fatalf("found threads %v, %v", threads, err)
	}
	for _, name := range threads {
		status, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		const none = "0000000000000000\n"
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t" + none, "CapPrm:\t" + none} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s: found no %q in %s", name, want, status)
			}
		}
	}
	sid, err := unix.Getsid(pid)
	if err != nil || sid != pid {
		t.Errorf("found session %d, %v, want %d", sid, err, pid)
	}
}

// TestLandlockAlone: without the filter of system calls, files, the network and other processes are still out of reach
// of every thread.
func TestLandlockAlone(t *testing.T) {
	version := landlockVersion()
	if version == 0 {
		t.Skip("this kernel has no landlock")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // for the test only
	c := start(t, landlockArg)
	since := map[string]int{
		"open": 1, "open-in-thread": 1, "open-environ": 1, "list": 1, "write": 1, "mkdir": 1, "connect": 4, "kill-parent": 6,
		"command": 1,
	}
	for name, since := range since {
		got := ask(t, c, "%s %d", name, listener.Addr().(*net.TCPAddr).Port)
		if version >= since && !strings.Contains(got, "permission denied") && !strings.Contains(got, "not permitted") {
			t.Errorf("%s: found %q, want that it is not permitted", name, got)
		}
	}
}

// TestRefusedToOthers makes the attempts as a user without rights of its own.
func TestRefusedToOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root becomes another user")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRefused$", "-test.count=1")
	cmd.Dir = "/"
	cmd.Env = []string{"TMPDIR=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

// onlyLandlock confines as an old kernel without seccomp would.
func onlyLandlock() Parts {
	version, err := restrictFiles()
	return Parts{Landlock: version, Failures: []string{fmt.Sprint(err)}}
}
