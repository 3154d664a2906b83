package inject

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Op is what a system call does.
type Op string

// The operations that can fail. Read and Write stand for all calls that move bytes of a file, List for those that read
// a folder, and Sync for fsync and fdatasync.
const (
	Open     Op = "open"
	Create   Op = "create"
	Read     Op = "read"
	Write    Op = "write"
	Sync     Op = "sync"
	Truncate Op = "truncate"
	Rename   Op = "rename"
	Remove   Op = "remove"
	Mkdir    Op = "mkdir"
	List     Op = "list"
)

// kind says where the path of a call is.
type kind int

const (
	byFD      kind = iota // argument 0 is a descriptor
	byPath                // argument 0 is a path
	byPathAt              // arguments 0 and 1 are the descriptor of a folder and a path
	byPathsAt             // the same, of a call that has a new name, too
)

type trap struct {
	op   Op
	kind kind
}

// traps has the system calls that the filter asks about. Calls that only some architectures have are in legacy.
var traps = func() map[int32]trap {
	all := map[int32]trap{
		unix.SYS_OPENAT:          {Open, byPathAt},
		unix.SYS_OPENAT2:         {Open, byPathAt},
		unix.SYS_READ:            {Read, byFD},
		unix.SYS_PREAD64:         {Read, byFD},
		unix.SYS_READV:           {Read, byFD},
		unix.SYS_COPY_FILE_RANGE: {Read, byFD},
		unix.SYS_SENDFILE:        {Write, byFD},
		unix.SYS_WRITE:           {Write, byFD},
		unix.SYS_PWRITE64:        {Write, byFD},
		unix.SYS_WRITEV:          {Write, byFD},
		unix.SYS_FSYNC:           {Sync, byFD},
		unix.SYS_FDATASYNC:       {Sync, byFD},
		unix.SYS_FTRUNCATE:       {Truncate, byFD},
		unix.SYS_RENAMEAT2:       {Rename, byPathsAt},
		unix.SYS_UNLINKAT:        {Remove, byPathAt},
		unix.SYS_MKDIRAT:         {Mkdir, byPathAt},
		unix.SYS_GETDENTS64:      {List, byFD},
	}
	maps.Copy(all, legacy)
	return all
}()

// Call is a system call on a file below the folder of [Start].
type Call struct {
	Op Op
	// Path is the file, relative to the folder. Of a rename it is the old name.
	Path string
}

// These are the structures of linux/seccomp.h.
type (
	seccompData struct {
		nr   int32
		arch uint32
		ip   uint64
		args [6]uint64
	}
	notification struct {
		id    uint64
		pid   uint32
		flags uint32
		data  seccompData
	}
	response struct {
		id    uint64
		val   int64
		errno int32
		flags uint32
	}
)

// Start starts cmd. decide is called for each call on a file below dir, which must be an absolute path without symbolic
// links, in cmd and its children: one at a time, before the call is carried out. The call fails with the error that
// decide returns; 0 lets it happen.
func Start(cmd *exec.Cmd, dir string, decide func(Call) unix.Errno) error {
	started := make(chan error)
	go func() {
		// The filter belongs to this thread and to the process that it starts. The thread ends with the goroutine,
		// since it stays locked.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread does not end with a goroutine. It is kept busy while another is used.
			started <- Start(cmd, dir, decide)
			runtime.UnlockOSThread()
			return
		}
		listener, err := filter()
		if err != nil {
			started <- fmt.Errorf("install a seccomp filter: %w", err)
			return
		}
		s := &supervisor{listener: listener, dir: dir, decide: decide}
		go s.run()
		started <- cmd.Start()
	}()
	return <-started
}

// filter installs the filter on this thread.
func filter() (listener int, err error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	numberOf := uint32(unsafe.Offsetof(seccompData{}.nr))
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: numberOf}}
	left := len(traps)
	for nr := range traps {
		program = append(program, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jt: uint8(left),
		})
		left--
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
	)
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// A signal, such as those that preempt goroutines, must not make a call be asked about twice: since Linux 5.19.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// supervisor answers the questions of a filter.
type supervisor struct {
	listener int
	dir      string
	decide   func(Call) unix.Errno
}

// run answers until all processes that have the filter have ended.
func (s *supervisor) run() {
	defer unix.Close(s.listener) //nolint:errcheck // nothing is left to be asked
	for {
		fds := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if err := s.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err != nil {
			continue // the process was killed
		}
		r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if call, ok := s.call(&n); ok {
			if errno := s.decide(call); errno != 0 {
				r.flags, r.errno = 0, -int32(errno)
			}
		}
		_ = s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) // as above
	}
}

func (s *supervisor) ioctl(request uint, p unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), uintptr(request), uintptr(p))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// call describes a call. ok is false if it is not on a file below the folder.
func (s *supervisor) call(n *notification) (c Call, ok bool) {
	t, args := traps[n.data.nr], &n.data.args
	path, err := "", error(nil)
	switch t.kind {
	case byFD:
		path, err = link(n.pid, "fd/"+strconv.Itoa(int(int32(args[0]))))
	case byPath:
		path, err = name(n.pid, unix.AT_FDCWD, args[0])
	default:
		path, err = name(n.pid, int32(args[0]), args[1])
	}
	rel, below := strings.CutPrefix(path, s.dir+"/")
	if err != nil || !below {
		return c, false
	}
	c = Call{Op: t.op, Path: rel}
	if t.op == Open && creates(n) {
		c.Op = Create
	}
	return c, true
}

// creates reports whether a call of open may create a file.
func creates(n *notification) bool {
	switch n.data.nr {
	case unix.SYS_OPENAT:
		return n.data.args[2]&unix.O_CREAT != 0
	case unix.SYS_OPENAT2:
		return false // its flags are in memory
	default:
		return n.data.args[1]&unix.O_CREAT != 0
	}
}

// link reads a symbolic link in the folder of a process in /proc.
func link(pid uint32, what string) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, what))
}

// name reads a path from the memory of a process, and makes it absolute.
func name(pid uint32, folder int32, address uint64) (string, error) {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return "", err
	}
	defer mem.Close() //nolint:errcheck // opened for reading
	buf := make([]byte, unix.PathMax)
	n, err := mem.ReadAt(buf, int64(address))
	path, _, found := strings.Cut(string(buf[:n]), "\x00")
	if !found {
		return "", fmt.Errorf("found no end of a path: %w", err)
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	base := "cwd"
	if folder != unix.AT_FDCWD {
		base = "fd/" + strconv.Itoa(int(folder))
	}
	dir, err := link(pid, base)
	return filepath.Join(dir, path), err
}
