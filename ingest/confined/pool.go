// Package confined decodes untrusted inputs in workers: processes of this binary without rights (package sandbox). The
// parent opens the files, passes their descriptors and gets samples back. It does not trust them: it compares sizes with
// what arrives, and checks everything that follows from them before it allocates memory.
//
// A worker reads one input at a time, and a limited number of inputs in its life, so that one that was taken over
// cannot falsify what is read for long. A program only has to import the package: in a worker its init function takes
// over.
package confined

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/sandbox"
)

const (
	// maxInputs is the number of inputs that one worker reads: few, so that one that was taken over does not last, and so
	// many that starting the next, about 30 ms of a processor, costs an input 60 us.
	maxInputs = 500
	// maxTaken is the memory of an input after which its worker is not used again, so that it does not keep that.
	maxTaken = 256 << 20
	// baseMemory is the address space of a worker without its input: Go's runtime and the libraries of the program.
	baseMemory = 2 << 30
)

// Pool starts workers and keeps those that are idle. Its methods may be called by several goroutines.
type Pool struct {
	arg    string // that makes this binary a worker
	memory int64  // address space of a worker, 0 for no limit
	keep   int    // idle workers

	mu     sync.Mutex
	idle   []*worker
	closed bool
	starts sync.WaitGroup
	// wire are the options that were encoded last.
	wire wireCache
}

var _ ingest.Confined = (*Pool)(nil)

// worker is a process that decodes.
type worker struct {
	*sandbox.Child
	options string // that it was sent last
	inputs  int
	taken   int64 // for the input
	most    int64 // that was taken for it at the same time
}

// workersStarted and workersFailed count over the life of the process.
var workersStarted, workersFailed atomic.Int64

// Workers returns the number of workers started, and the number of those that failed.
func Workers() (started, failed int64) { return workersStarted.Load(), workersFailed.Load() }

// NewPool returns a pool that keeps some idle workers. limit is the memory that one input may use; 0 means no limit.
// The first worker is started when it is needed.
func NewPool(limit int64, keep int) *Pool {
	p := &Pool{arg: workerArg, keep: keep}
	if limit > 0 {
		p.memory = baseMemory + 3*limit // the heap grows beyond what is in use before it is collected
	}
	return p
}

// Close ends the idle workers, and those that come back.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, w := range idle {
		w.quit()
	}
	p.starts.Wait()
}

func (w *worker) quit() {
	w.Kill()
	w.Release()
}

func (p *Pool) start() (*worker, error) {
	child, err := sandbox.Start(sharedBytes, p.arg, strconv.FormatInt(p.memory, 10))
	if err != nil {
		workersFailed.Add(1)
		return nil, err
	}
	workersStarted.Add(1)
	return &worker{Child: child}, nil
}

// startsOfOne limits how often a worker is started for an input if it is killed before it has seen any of that.
const startsOfOne = 3

// get returns an idle worker, or a new one.
func (p *Pool) get(ctx context.Context, fresh bool) (*worker, error) {
	for starts := 1; ; starts++ {
		var w *worker
		if !fresh {
			w = p.take()
		}
		if w == nil {
			var err error
			if w, err = p.start(); err != nil {
				return nil, err
			}
		}
		err := w.Confined(ctx)
		if err == nil {
			w.inputs++
			w.taken, w.most = 0, 0
			return w, nil
		}
		w.quit()
		workersFailed.Add(1)
		if ctx.Err() != nil || starts == startsOfOne || !strings.HasPrefix(err.Error(), killedText) {
			return nil, cmp.Or(ctx.Err(), err)
		}
	}
}

// take returns an idle worker that is alive, or nil.
func (p *Pool) take() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		select {
		case <-w.Exited(): // the system may have ended it
			w.quit()
		default:
			return w
		}
	}
	return nil
}

// put takes a worker back after an input. One that has read enough is replaced ahead of need.
func (p *Pool) put(w *worker, well bool) {
	if !well {
		workersFailed.Add(1)
	}
	again := well && w.inputs < maxInputs && w.most <= maxTaken
	p.mu.Lock()
	room := !p.closed && len(p.idle) < p.keep
	if again && room {
		p.idle = append(p.idle, w)
	}
	if !again && room {
		p.starts.Go(p.replace)
	}
	p.mu.Unlock()
	if !again || !room {
		w.quit()
	}
}

// replace adds a new worker to the idle ones. A failure is one of the next input.
func (p *Pool) replace() {
	w, err := p.start()
	if err != nil {
		return
	}
	p.mu.Lock()
	room := !p.closed && len(p.idle) < p.keep
	if room {
		p.idle = append(p.idle, w)
	}
	p.mu.Unlock()
	if !room {
		w.quit()
	}
}

// Open opens an input.
func (p *Pool) Open(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	j, m, err := p.begin(ctx, "open", path, o)
	if err != nil {
		return nil, err
	}
	if m.Is == "end" && m.Fault != nil {
		j.end(true)
		return nil, m.Fault.received(j.answers)
	}
	if m.Is != "opened" || len(m.Classes) > maxClasses || m.Len < 0 {
		return nil, j.fail(ctx, fmt.Errorf("found result %.20q", m.Is))
	}
	s := &source{job: j, asked: !m.Sliced, sliced: m.Sliced, left: m.Len}
	for _, c := range m.Classes {
		s.classes = append(s.classes, cut(c))
	}
	if m.Sliced {
		return &slicer{s}, nil
	}
	return s, nil
}

// Detect recognizes the format of a file.
func (p *Pool) Detect(ctx context.Context, path string, o ingest.Options) (string, ingest.Confidence, string, error) {
	j, m, err := p.begin(ctx, "detect", path, o)
	if err != nil {
		return "", 0, "", err
	}
	if m.Is != "end" {
		return "", 0, "", j.fail(ctx, fmt.Errorf("found result %.20q", m.Is))
	}
	j.end(true)
	if m.Fault != nil {
		return "", 0, "", m.Fault.received(j.answers)
	}
	return m.Name, min(max(m.Sure, ingest.No), ingest.Sure), cut(m.Note), nil
}

// Inspect describes an input.
func (p *Pool) Inspect(ctx context.Context, path string, o ingest.Options) (ingest.Info, error) {
	o.Notes = new(ingest.Notes)
	j, m, err := p.begin(ctx, "inspect", path, o)
	if err != nil {
		return ingest.Info{}, err
	}
	if m.Is != "end" || m.Fault == nil && m.Detail == nil {
		return ingest.Info{}, j.fail(ctx, fmt.Errorf("found result %.20q", m.Is))
	}
	j.end(true)
	if m.Fault != nil {
		return ingest.Info{}, m.Fault.received(j.answers)
	}
	return ingest.Info{File: path, Format: cut(m.Name), Notes: o.Notes.Take(), Detail: &detail{*m.Detail}}, nil
}

// named reports whether an option of a reader is the name of this file.
func named(o ingest.Options, path string) bool {
	for _, r := range o.Readers {
		for _, f := range option.Settings(r) {
			if f.String() == path || path != "" && slices.Contains(strings.Split(f.String(), ","), path) {
				return true
			}
		}
	}
	return false
}

func sortNames(names []info) {
	slices.SortFunc(names, func(a, b info) int { return cmp.Compare(a.Name, b.Name) })
}
