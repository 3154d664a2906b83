package h5

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/internal/sandbox"
)

// workerArg, as the only argument, makes this binary a worker.
const workerArg = "h5-worker"

// sharedBytes is the size of the memory shared with a worker: one block of values.
const sharedBytes = blockBytes

// requestTimeout is the time limit of one request; the largest read a few hundred megabytes.
const requestTimeout = 60 * time.Second

// worker is a child process that reads one file at a time and ends with this process. It is confined before it looks at
// a file, and reads it from a descriptor.
type worker struct {
	*sandbox.Child
	timeout time.Duration
}

// workersStarted and workersFailed count over the life of the process.
var workersStarted, workersFailed atomic.Int64

// Workers returns the number of worker processes started, and the number of those that died or did not answer in
// time.
func Workers() (started, failed int64) { return workersStarted.Load(), workersFailed.Load() }

// startWorker starts this binary again as a worker.
func startWorker(ctx context.Context) (*worker, error) {
	child, err := sandbox.Start(sharedBytes, workerArg)
	if err == nil {
		if err = child.Confined(ctx); err != nil {
			child.Kill()
			child.Release()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	if err != nil {
		workersFailed.Add(1)
		return nil, fmt.Errorf("HDF5 worker: %w", err)
	}
	workersStarted.Add(1)
	return &worker{Child: child, timeout: requestTimeout}, nil
}

// wasKilled reports whether a worker was ended by SIGKILL from outside: by a person, or by the kernel, which needs memory
// and takes it from whoever is largest. Its own limits end it by other signals.
func wasKilled(err error) bool { return err != nil && strings.Contains(err.Error(), "signal: killed") }

// call sends a request, and a file if there is one, and waits for the answer. Any failure on the way ends the worker.
func (w *worker) call(ctx context.Context, q *request, file *os.File, dst []byte) (*reply, []byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	stop := w.Conn.Bound(ctx, w.timeout)
	defer stop()
	var p *reply
	var payload []byte
	err := w.LimitCPU(2 * w.timeout)
	if err == nil {
		err = writeRequest(w.Conn, q, file)
	}
	if err == nil {
		p, payload, err = readReply(w.Conn, dst, w.Shared)
	}
	if err != nil {
		reason := w.Failure(err)
		w.kill()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		workersFailed.Add(1)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			reason = fmt.Sprintf("no answer in %v", w.timeout)
		}
		return nil, nil, fmt.Errorf("%w: %s", ErrWorker, reason)
	}
	if p.Fault != "" {
		return nil, nil, p.error()
	}
	return p, payload, nil
}

// kill ends the process immediately and waits for it. It may be called more than once.
func (w *worker) kill() {
	w.Kill()
	w.Release()
}

func (p *reply) error() error {
	switch p.Is {
	case "missing":
		return fmt.Errorf("%w: %s", ErrNotFound, p.Fault)
	case "refused":
		return fmt.Errorf("%w: %s", ErrRefused, p.Fault)
	}
	if p.System != 0 {
		return &systemError{p.Fault, syscall.Errno(p.System)}
	}
	return errors.New(p.Fault)
}

// systemError is an error of the operating system that the worker has met.
type systemError struct {
	text   string
	number syscall.Errno
}

func (e *systemError) Error() string { return e.text }
func (e *systemError) Unwrap() error { return e.number }
