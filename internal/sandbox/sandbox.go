// Package sandbox starts this binary again as a worker without rights: a process that parses untrusted input. Whoever
// takes over the parser cannot reach anything from there.
//
// A worker has an environment of a few harmless variables, no descriptors but a socket to its parent, the folder / as
// its own, limits on memory, processor time, files and core dumps, and it dies with its parent. Before it looks at any
// input it gives up the rest: capabilities, new privileges, the file system, the network and signals to others
// (landlock), and every system call that computing does not need (seccomp). The parent opens the files and passes their
// descriptors.
//
// What the kernel lacks is left out; [Parts] says so. Systems other than Linux limit resources only.
package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Parts are the parts of the confinement that are in force in a worker.
type Parts struct {
	// Landlock is the version of the kernel's interface, 0 if there is none. Version 1 takes away the file system,
	// version 4 TCP as well, version 6 signals and abstract sockets of other processes as well.
	Landlock int `json:"landlock"`
	// Seccomp says that system calls are filtered.
	Seccomp bool `json:"seccomp"`
	// NoNewPrivileges says that no program can give more rights, and NoCapabilities that there are none.
	NoNewPrivileges bool `json:"no_new_privileges"`
	NoCapabilities  bool `json:"no_capabilities"`
	// Failures are the reasons why parts are not in force.
	Failures []string `json:"failures,omitempty"`
}

// Complete reports whether neither files nor the network nor other processes can be reached.
func (p *Parts) Complete() bool {
	return p.Landlock > 0 && p.Seccomp && p.NoNewPrivileges && p.NoCapabilities
}

// String lists what is in force, and what is not.
func (p *Parts) String() string {
	var in, out []string
	add := func(ok bool, name string) {
		if ok {
			in = append(in, name)
		} else {
			out = append(out, name)
		}
	}
	landlock := "landlock"
	if p.Landlock > 0 {
		landlock = fmt.Sprintf("landlock (version %d)", p.Landlock)
	}
	add(p.Landlock > 0, landlock)
	add(p.Seccomp, "seccomp")
	add(p.NoNewPrivileges, "no new privileges")
	add(p.NoCapabilities, "no capabilities")
	text := strings.Join(in, ", ")
	if len(in) == 0 {
		text = "limits only"
	}
	if len(out) > 0 {
		text += "; not in force: " + strings.Join(out, ", ")
	}
	if len(p.Failures) > 0 {
		text += " (" + strings.Join(p.Failures, "; ") + ")"
	}
	return text
}

// ErrNotConfined means that a worker lacks a part of the confinement that was demanded.
var ErrNotConfined = errors.New("the worker cannot be confined")

// inherited are the environment variables that a worker gets: where the dynamic linker finds libraries, and the time
// zone, which the readers of some formats need.
var inherited = []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "TZ", "SystemRoot"}

// environment returns the environment of a worker. A single malloc arena keeps the address space small.
func environment(lookup func(string) (string, bool)) []string {
	out := []string{
		"MALLOC_ARENA_MAX=1", "GOTRACEBACK=none", "HDF5_PLUGIN_PRELOAD=::",
		fmt.Sprintf("GOMAXPROCS=%d", runtime.GOMAXPROCS(0)), // as --threads and the limits of a container have it
	}
	for _, name := range inherited {
		if v, ok := lookup(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// Child is a worker, seen from its parent. Its methods may be called by several goroutines, but Conn is for one.
type Child struct {
	// Conn is the way to the worker. Nothing that comes from there is to be trusted.
	Conn *Conn
	// Shared is memory that the worker writes to, or nil. The worker may change it at any time.
	Shared []byte

	cmd     *exec.Cmd
	stderr  headBuffer
	exited  chan struct{} // closed once the process is gone and waited for
	waitErr error
	once    sync.Once
	parts   Parts
	hello   error
}

// Start starts this binary with the given arguments, of which the first should be one that its main package or an init
// function knows and answers with [Enter]. shared is the size of the shared memory; 0 means none. If the parent
// ends, so does the worker, however busy it is.
func Start(shared int, args ...string) (*Child, error) {
	exe := "/proc/self/exe" // also works if the file was replaced
	if _, err := os.Stat(exe); err != nil {
		if exe, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	conn, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("socket of a worker: %w", err)
	}
	c := &Child{Conn: conn, exited: make(chan struct{})}
	c.cmd = exec.Command(exe, args...) //nolint:gosec // this program itself
	c.cmd.Args[0] = os.Args[0]
	c.cmd.Dir = string(os.PathSeparator)
	c.cmd.Env = environment(os.LookupEnv)
	c.cmd.Stderr = &c.stderr
	c.cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	if shared > 0 {
		memory, mapped := shareMemory(shared)
		if memory != nil {
			c.cmd.ExtraFiles = append(c.cmd.ExtraFiles, memory) // descriptor 4
			defer memory.Close()                                //nolint:errcheck // the mapping remains
			c.Shared = mapped
		}
	}
	separate(c.cmd)
	started := make(chan error, 1)
	go func() {
		// The kernel kills the child when the thread that started it ends, so that thread stays until the child is
		// gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.waitErr = c.cmd.Wait()
		}
		close(c.exited)
	}()
	err = errors.Join(<-started, theirs.Close())
	if err != nil {
		c.Kill()
		c.Release()
		return nil, err
	}
	return c, nil
}

// maxHello limits what a worker says about its confinement.
const maxHello = 16 << 10

// Parts waits until the worker has confined itself, and says how. It must be called before anything else is read from
// Conn; what it needs is remembered.
func (c *Child) Parts(ctx context.Context) (Parts, error) {
	c.once.Do(func() {
		stop := c.Conn.Bound(ctx, startTime)
		defer stop()
		var line []byte
		if line, c.hello = c.Conn.readLine(maxHello); c.hello == nil {
			c.hello = json.Unmarshal(line, &c.parts)
		}
	})
	return c.parts, c.hello
}

// startTime is the time limit for a worker to start. A machine that swaps may take seconds.
const startTime = 60 * time.Second

// Pid returns the process ID of the worker.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Exited is closed when the process is gone.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// State returns how the process ended, once it is gone.
func (c *Child) State() *os.ProcessState { return c.cmd.ProcessState }

// Kill ends the process immediately and waits for it. It may be called more than once.
func (c *Child) Kill() {
	_ = c.Conn.Close()
	if c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
	}
	<-c.exited
}

// Release unmaps the shared memory, which must not be used any more. The process must be gone.
func (c *Child) Release() {
	unmap(c.Shared)
	c.Shared = nil
}

// Failure returns the reason why a worker that did not answer, with an error, is gone: how it ended and what it printed.
// It waits a moment for the process to end by itself, and then ends it.
func (c *Child) Failure(err error) string {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		// A worker that broke the connection is about to exit: its exit status gives the reason.
		select {
		case <-c.exited:
		case <-time.After(time.Second):
		}
	}
	c.Kill()
	text := "ended"
	if c.waitErr != nil {
		text = c.waitErr.Error()
	}
	if s := c.stderr.String(); s != "" {
		text += ": " + s
	}
	if err != nil && !isEnd(err) {
		text += ": " + err.Error()
	}
	return text
}

// Printed returns the first of what the worker has written to its standard error, on one line.
func (c *Child) Printed() string { return c.stderr.String() }

// headBuffer keeps the first lines a worker printed before it died.
type headBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *headBuffer) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if room := 300 - h.b.Len(); room > 0 {
		h.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// String returns the output on one line, without Go's own debugging information.
func (h *headBuffer) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := strings.ToValidUTF8(h.b.String(), "?")
	for _, end := range []string{"\nPC=", "\ngoroutine ", "\nruntime", "\n["} {
		text, _, _ = strings.Cut(text, end)
	}
	return strings.Join(strings.Fields(text), " ")
}

// Limits are the resources that a worker may use.
type Limits struct {
	// Memory is the address space in bytes; 0 means no limit. Builds with a race detector, which maps terabytes of
	// shadow memory, have none.
	Memory int64
	// Files is the number of open descriptors.
	Files int
}

// Worker is the worker, seen from itself.
type Worker struct {
	// Conn is the way to the parent.
	Conn *Conn
	// Shared is memory that the parent reads, or nil.
	Shared []byte
}

// Enter makes this process a worker that [Start] started: it takes the limits, gives up its rights and tells the
// parent. It is called before anything else is done; a process that was not started so gets an error.
func Enter(l Limits) (*Worker, error) { return enter(l, confine) }

func enter(l Limits, confine func() Parts) (*Worker, error) {
	conn, err := inheritedConn(os.NewFile(3, "parent"))
	if err != nil {
		return nil, errors.New("this command is internal: the program starts it to read files")
	}
	w := &Worker{Conn: conn, Shared: sharedMemory(4)}
	if err := limitResources(l); err != nil {
		return nil, fmt.Errorf("resource limits: %w", err)
	}
	// A local time zone is loaded when it is first used, which is too late then.
	_, _ = time.Now().Zone()
	p := confine()
	hello, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	_, err = conn.Write(append(hello, '\n'))
	return w, err
}

// probeArg, as the only argument, makes this binary a worker that only confines itself.
const probeArg = "sandbox-probe"

func init() {
	if len(os.Args) == 2 && os.Args[1] == probeArg {
		if _, err := Enter(Limits{Files: 16}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(0)
	}
}

// Probe starts a worker that only confines itself, and returns what is in force there.
func Probe(ctx context.Context) (Parts, error) {
	c, err := Start(0, probeArg)
	if err != nil {
		return Parts{}, err
	}
	defer c.Kill()
	p, err := c.Parts(ctx)
	if err != nil {
		return p, fmt.Errorf("%w: %s", ErrNotConfined, c.Failure(err))
	}
	return p, nil
}

// demanded is what [Child.Confined] wants.
var demanded atomic.Bool

// Demand makes [Child.Confined] refuse workers that are not wholly confined, in the whole process.
func Demand() { demanded.Store(true) }

// Confined waits until the worker has confined itself. It is an error if the worker could not start, or lacks a part
// that [Demand] wants.
func (c *Child) Confined(ctx context.Context) error {
	p, err := c.Parts(ctx)
	if err != nil {
		return errors.New(c.Failure(err))
	}
	if demanded.Load() && !p.Complete() {
		return fmt.Errorf("%w: in force: %s", ErrNotConfined, p.String())
	}
	return nil
}
