package h5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// workerArg, as the only argument, makes this binary a worker.
const workerArg = "h5-worker"

// requestTimeout is the time limit of one request; the largest read a few hundred megabytes.
const requestTimeout = 60 * time.Second

// worker is a child process that reads one file at a time and ends with this process.
type worker struct {
	to, from *os.File
	shared   []byte // memory that the worker writes values to, or nil
	stderr   headBuffer
	timeout  time.Duration
	cmd      *exec.Cmd
	exited   chan struct{} // closed once the process is gone and waited for
	waitErr  error
}

// workersStarted and workersFailed count over the life of the process.
var workersStarted, workersFailed atomic.Int64

// Workers returns the number of worker processes started, and the number of those that died or did not answer in
// time.
func Workers() (started, failed int64) { return workersStarted.Load(), workersFailed.Load() }

// startWorker starts this binary again as a worker.
func startWorker() (*worker, error) {
	exe := "/proc/self/exe" // also works if the file was replaced
	if _, err := os.Stat(exe); err != nil {
		if exe, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	childIn, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	from, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, childIn.Close(), to.Close())
	}
	w := &worker{to: to, from: from, timeout: requestTimeout, exited: make(chan struct{})}
	w.cmd = exec.Command(exe, workerArg)
	w.cmd.Args[0] = os.Args[0]
	w.cmd.ExtraFiles = []*os.File{childIn, childOut} // descriptors 3 and 4
	memory, shared := shareMemory()
	if memory != nil {
		w.cmd.ExtraFiles = append(w.cmd.ExtraFiles, memory) // descriptor 5
		defer memory.Close()                                //nolint:errcheck // the mapping remains
		w.shared = shared
	}
	w.cmd.Stderr = &w.stderr
	w.cmd.Env = workerEnv(os.Environ())
	tieToParent(w.cmd)
	widen(childOut)
	started := make(chan error, 1)
	go func() {
		// The kernel kills the child when the thread that started it ends, so that thread stays until the child is
		// gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := w.cmd.Start()
		started <- err
		if err == nil {
			w.waitErr = w.cmd.Wait()
		}
		close(w.exited)
	}()
	err = <-started
	err = errors.Join(err, childIn.Close(), childOut.Close())
	if err != nil {
		w.kill()
		workersFailed.Add(1)
		return nil, fmt.Errorf("HDF5 worker: %w", err)
	}
	workersStarted.Add(1)
	return w, nil
}

// workerEnv keeps the variables that the dynamic linker may need, and removes those that influence libhdf5 and our
// own settings, which may contain passwords. A single malloc arena keeps the address space small.
func workerEnv(env []string) []string {
	out := []string{
		"MALLOC_ARENA_MAX=1", "GOTRACEBACK=none", "HDF5_PLUGIN_PRELOAD=::",
		fmt.Sprintf("GOMAXPROCS=%d", runtime.GOMAXPROCS(0)), // as --threads and the limits of a container have it
	}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "HDF5_") || strings.HasPrefix(name, "MALLOC_") ||
			strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "VOXELSTREAM_") {
			continue
		}
		out = append(out, kv)
	}
	return out
}

// call sends a request and waits for its answer. Any failure on the way ends the worker.
func (w *worker) call(ctx context.Context, q *request, dst []byte) (*reply, []byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	deadline := time.Now().Add(w.timeout)
	err := errors.Join(w.to.SetWriteDeadline(deadline), w.from.SetReadDeadline(deadline))
	stop := context.AfterFunc(ctx, func() {
		past := time.Unix(1, 0)
		_ = w.to.SetWriteDeadline(past)
		_ = w.from.SetReadDeadline(past)
	})
	defer stop()
	var p *reply
	var payload []byte
	if err == nil {
		err = writeRequest(w.to, q)
	}
	if err == nil {
		p, payload, err = readReply(w.from, dst, w.shared)
	}
	if err != nil {
		// A worker that broke the pipe is about to exit: wait for it, so that its exit status gives the reason.
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			select {
			case <-w.exited:
			case <-time.After(time.Second):
			}
		}
		w.kill()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		workersFailed.Add(1)
		return nil, nil, w.failure(err)
	}
	if p.Fault != "" {
		return nil, nil, p.error()
	}
	return p, payload, nil
}

// failure returns the reason why the worker is gone.
func (w *worker) failure(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: no answer in %v", ErrWorker, w.timeout)
	}
	text := "ended"
	if w.waitErr != nil {
		text = w.waitErr.Error()
	}
	if s := w.stderr.String(); s != "" {
		text += ": " + s
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		text += ": " + err.Error()
	}
	return fmt.Errorf("%w: %s", ErrWorker, text)
}

// kill ends the process immediately and waits for it. It may be called more than once.
func (w *worker) kill() {
	_ = w.to.Close()
	if w.cmd.Process != nil {
		_ = w.cmd.Process.Kill()
	}
	<-w.exited
	_ = w.from.Close()
	unmap(w.shared)
	w.shared = nil
}

func (p *reply) error() error {
	switch p.Is {
	case "missing":
		return fmt.Errorf("%w: %s", ErrNotFound, p.Fault)
	case "refused":
		return fmt.Errorf("%w: %s", ErrRefused, p.Fault)
	}
	return errors.New(p.Fault)
}

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
