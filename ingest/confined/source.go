package confined

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// ErrWorker means that a worker crashed, hung, exceeded a limit or said what it must not say.
var ErrWorker = errors.New("the worker that decodes it failed")

const (
	// granted is the memory that is taken for an input in advance: what small files need, without a question.
	granted = 4 << 20
	// maxAsked limits the questions about one input, each of which may open a file.
	maxAsked = 1 << 20
	// A worker may take timeBase and a second for each timeBytes of its file to get on, in processor time from one sample
	// to the next, and twice that by the clock.
	timeBase  = 2 * time.Minute
	timeBytes = 1 << 20
)

// job is an input that a worker reads.
type job struct {
	w    *worker
	pool *Pool
	path string
	o    ingest.Options
	// about describes the input, and granted the memory that was taken for it in advance. second means that the first
	// worker was killed.
	about   fs.FileInfo
	granted int64
	taken   int64 // by a worker that is gone
	second  bool
	// dir is the folder that questions are about, opened when one is asked.
	dir     string
	root    *os.Root
	limit   time.Duration
	asked   int
	answers []error // of all questions but give; nil for those that were answered

	// The worker must get on before the deadline, until stop is called.
	deadline time.Time
	stop     func()
}

// exitTime is how long a worker that broke the connection may take to end. killedText is how that begins for one that
// was killed ([exec.ExitError]).
const (
	exitTime   = time.Second
	killedText = "signal: killed"
)

// failure is an [ErrWorker] with its reason.
type failure struct {
	path, reason string
	// killed means that the worker was ended by SIGKILL from outside: by a person, or by the kernel, which needs memory.
	// Its own limits end it by other signals.
	killed bool
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %v: %s", f.path, ErrWorker, f.reason) }

func (f *failure) Is(target error) bool { return target == ErrWorker }

func wasKilled(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.killed
}

// begin gives an input to a worker and waits for its first result. A worker that is killed has one successor; the file
// may be the reason if that is killed as well.
func (p *Pool) begin(ctx context.Context, do, path string, o ingest.Options) (*job, *message, error) {
	o = o.WithDefaults()
	j, m, err := p.try(ctx, do, path, o, false)
	if wasKilled(err) {
		j.returned()
		j, m, err = p.try(ctx, do, path, o, true)
		if j != nil {
			j.second = true
		}
	}
	return j, m, err
}

// try is begin with one worker, a new one if it must be fresh: what killed the first may have killed the idle ones too.
func (p *Pool) try(
	ctx context.Context, do, path string, o ingest.Options, fresh bool,
) (*job, *message, error) {
	input, about, err := openInput(path)
	if err != nil {
		return nil, nil, err
	}
	if input != nil {
		defer input.Close() //nolint:errcheck // the worker has its own
	}
	resolved, err := regular.Resolve(path)
	if err != nil {
		return nil, nil, err
	}
	order := &order{Do: do, Path: path, Resolved: resolved, File: infoOf(about), Sent: input != nil}
	options, err := p.wire.encode(o)
	if err != nil {
		return nil, nil, err
	}
	if err := o.Account.Take(granted); err == nil {
		order.Granted = granted
	} else if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	w, err := p.get(ctx, fresh)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", path, ErrWorker, err)
	}
	j := &job{w: w, pool: p, path: path, o: o, about: about, granted: order.Granted, dir: path}
	if !about.IsDir() {
		j.dir = filepath.Dir(path)
	}
	j.limit = timeBase + time.Duration(about.Size()/timeBytes)*time.Second
	if string(options) != w.options {
		order.Options, w.options = options, string(options)
	}
	j.bound(ctx, 2*j.limit)
	err = w.LimitCPU(j.limit)
	if err == nil {
		err = writeFrame(w.Conn, order, input)
	}
	j.stop()
	if err != nil {
		return j, nil, j.fail(ctx, err)
	}
	m, err := j.result(ctx)
	return j, m, err
}

// openInput opens a regular file and describes it; a folder is only described.
func openInput(path string) (*os.File, fs.FileInfo, error) {
	about, err := os.Stat(path)
	if err != nil || about.IsDir() {
		return nil, about, err
	}
	return regular.Open(path)
}

// fail ends the worker, and returns the reason.
func (j *job) fail(ctx context.Context, err error) error {
	ended := false // by itself, not by us
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		select {
		case <-j.w.Exited():
			ended = true
		case <-time.After(exitTime):
		}
	}
	reason := j.w.Failure(err)
	j.end(false)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	killed := ended && strings.HasPrefix(reason, killedText)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		reason, killed = fmt.Sprintf("no progress in %v", 2*j.limit), false
	}
	return &failure{j.path, cut(reason), killed}
}

// returned gives back the memory of a worker that is gone.
func (j *job) returned() {
	j.o.Account.Give(j.granted + j.taken)
	j.granted, j.taken = 0, 0
}

// end gives the worker back, or ends it.
func (j *job) end(well bool) {
	if j.root != nil {
		_ = j.root.Close()
		j.root = nil
	}
	if j.w != nil {
		j.taken = j.w.taken
		j.pool.put(j.w, well)
		j.w = nil
	}
}

// bound sets the deadline of the worker.
func (j *job) bound(ctx context.Context, limit time.Duration) {
	j.deadline = time.Now().Add(limit)
	j.stop = j.w.Conn.Bound(ctx, limit)
}

// result answers the worker's questions until it has a result. If that is the end, the caller gives the worker back. An
// error has ended the worker.
func (j *job) result(ctx context.Context) (*message, error) {
	j.bound(ctx, 2*j.limit)
	defer func() { j.stop() }()
	for {
		m := new(message)
		if err := readFrame(j.w.Conn, m, maxAnswer); err != nil {
			return nil, j.fail(ctx, err)
		}
		if m.Ask == "" {
			for _, n := range m.Notes {
				if j.o.Notes != nil && n.Count > 0 {
					j.o.Notes.Add(ingest.Note{Text: cut(n.Text), Count: n.Count})
				}
			}
			return m, nil
		}
		if j.asked++; j.asked > maxAsked {
			return nil, j.fail(ctx, fmt.Errorf("found more than %d questions", maxAsked))
		}
		if err := j.answer(ctx, m); err != nil {
			return nil, j.fail(ctx, err)
		}
	}
}

// answer answers a question.
func (j *job) answer(ctx context.Context, m *message) error {
	a := new(order)
	var f *os.File
	var err error
	switch m.Ask {
	case "open":
		var about fs.FileInfo
		if f, about, err = j.open(m.Path); err == nil {
			a.File, a.Sent = infoOf(about), true
			defer f.Close() //nolint:errcheck // the worker has its own
		}
	case "stat":
		var about fs.FileInfo
		if about, err = j.stat(m.Path); err == nil {
			a.File = infoOf(about)
		}
	case "list":
		a.Names, err = j.list(m.Path)
	case "resolve":
		if m.Path != j.path && m.Path != j.dir {
			err = j.outside(m.Path)
		} else {
			a.Resolved, err = regular.Resolve(m.Path)
		}
	case "take":
		if m.N <= 0 {
			return fmt.Errorf("found a need of %d bytes", m.N)
		}
		if err = j.take(ctx, m.N); err == nil {
			j.w.taken += m.N
			j.w.most = max(j.w.most, j.w.taken)
		}
	case "give":
		if m.N > 0 && m.N <= j.w.taken {
			j.w.taken -= m.N
			j.o.Account.Give(m.N)
		}
		return nil
	default:
		return fmt.Errorf("found question %.20q", m.Ask)
	}
	j.answers = append(j.answers, err)
	a.Fault = faultOf(err)
	return writeFrame(j.w.Conn, a, f)
}

// take takes memory for the worker. The time until other inputs return theirs is not the worker's.
func (j *job) take(ctx context.Context, n int64) error {
	j.stop()
	left := time.Until(j.deadline)
	defer func() { j.bound(ctx, left) }()
	return j.o.Account.Take(n)
}

// below returns a name relative to the folder of the input, which it opens.
func (j *job) below(path string) (string, error) {
	name, err := filepath.Rel(j.dir, path)
	if err != nil || !filepath.IsLocal(name) {
		return "", j.outside(path)
	}
	if j.root == nil {
		if j.root, err = os.OpenRoot(j.dir); err != nil {
			return "", err
		}
	}
	return name, nil
}

// outside is the error of a worker that asks for what is not beside its input.
func (j *job) outside(path string) error {
	return &fs.PathError{Op: "open", Path: cut(path), Err: fs.ErrPermission}
}

// open opens the input, a file beside it, or one that an option names.
func (j *job) open(path string) (*os.File, fs.FileInfo, error) {
	if path == j.path || named(j.o, path) {
		return regular.Open(path)
	}
	name, err := j.below(path)
	if err != nil {
		return nil, nil, err
	}
	return renamed(path)(regular.OpenIn(j.root, name))
}

// renamed makes an error of a file below a folder name the whole path.
func renamed(path string) func(*os.File, fs.FileInfo, error) (*os.File, fs.FileInfo, error) {
	return func(f *os.File, about fs.FileInfo, err error) (*os.File, fs.FileInfo, error) {
		return f, about, wholePath(path, err)
	}
}

func wholePath(path string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		op := p.Op
		switch op {
		case "openat":
			op = "open"
		case "statat":
			op = "stat"
		}
		return &fs.PathError{Op: op, Path: path, Err: p.Err}
	}
	return err
}

func (j *job) stat(path string) (fs.FileInfo, error) {
	if path == j.path || named(j.o, path) {
		return os.Stat(path)
	}
	name, err := j.below(path)
	if err != nil {
		return nil, err
	}
	about, err := j.root.Stat(name)
	return about, wholePath(path, err)
}

// maxNames limits a list of names, which is what a message holds.
const maxNames = 1 << 16

func (j *job) list(path string) ([]info, error) {
	name, err := j.below(path)
	if err != nil {
		return nil, err
	}
	dir, err := j.root.Open(name)
	if err != nil {
		return nil, wholePath(path, err)
	}
	defer dir.Close() //nolint:errcheck // opened for reading
	entries, err := dir.ReadDir(maxNames + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, wholePath(path, err)
	}
	if len(entries) > maxNames {
		return nil, fmt.Errorf("%s: found more than %d files, the limit", path, maxNames)
	}
	out := make([]info, len(entries))
	for i, e := range entries {
		out[i] = info{Name: e.Name(), Mode: e.Type()}
	}
	sortNames(out)
	return out, nil
}

// source is an input that a worker reads.
type source struct {
	*job
	classes []string
	asked   bool // for the next sample, which a worker decodes in advance
	ended   error
	sliced  bool // it is that of a slicer
	at      int  // the number of samples that were read or skipped
	left    int  // samples of a slicer
}

// Read returns the next sample.
func (s *source) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	if s.ended != nil {
		return ingest.Sample{}, s.ended
	}
	s.o.Account.Within(ctx)
	sample, err := s.next(ctx)
	if wasKilled(err) && s.revive(ctx) {
		sample, err = s.next(ctx)
	}
	if _, item := errors.AsType[*ingest.ItemError](err); err == nil || item {
		s.at++
		s.left = max(0, s.left-1)
	} else {
		s.ended = err
	}
	return sample, err
}

// next reads a sample from the worker.
func (s *source) next(ctx context.Context) (none ingest.Sample, err error) {
	if !s.asked {
		if err := s.order(ctx, &order{Do: "next"}); err != nil {
			return none, err
		}
	}
	s.asked = false
	_ = s.w.LimitCPU(s.limit)
	m, err := s.result(ctx)
	if err != nil {
		return none, err
	}
	switch m.Is {
	case "end":
		s.end(true)
		if m.Fault != nil {
			return none, m.Fault.received(s.answers)
		}
		return none, io.EOF
	case "bad":
		id, err := m.ID.record()
		if err == nil && m.Fault != nil {
			return none, &ingest.ItemError{ID: id, Err: m.Fault.received(s.answers)}
		}
		return none, s.fail(ctx, errors.New("found a bad item without a reason"))
	case "sample":
		return s.receive(ctx, m)
	}
	return none, s.fail(ctx, fmt.Errorf("found result %.20q", m.Is))
}

// revive continues with another worker after the first was killed. It reports false if that fails, or if the file has
// changed. A second worker that is killed has no successor.
func (s *source) revive(ctx context.Context) bool {
	if s.second || ctx.Err() != nil {
		return false
	}
	s.returned()
	notes, o := s.o.Notes, s.o
	o.Notes = nil // these are known
	j, m, err := s.pool.try(ctx, "open", s.path, o, true)
	if err != nil {
		return false
	}
	j.second = true
	if m.Is != "opened" || m.Sliced != s.sliced || !sameFile(s.about, j.about) {
		j.end(false)
		return false
	}
	s.job, s.asked = j, !m.Sliced
	if s.sliced {
		err = s.order(ctx, &order{Do: "slice", First: s.at, Count: s.left})
	} else {
		for range s.at {
			_, err = s.next(ctx)
			if _, item := errors.AsType[*ingest.ItemError](err); err != nil && !item {
				break
			}
			err = nil
		}
	}
	s.o.Notes = notes
	return err == nil
}

// sameFile reports whether a file is another's, unchanged.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// order sends an order.
func (s *source) order(ctx context.Context, o *order) error {
	s.bound(ctx, 2*s.limit)
	err := writeFrame(s.w.Conn, o, nil)
	s.stop()
	if err == nil {
		return nil
	}
	// The worker may have said why it ended.
	return s.fail(ctx, err)
}

// receive reads the values of a sample. Memory for them is taken as long as they are on the way.
func (s *source) receive(ctx context.Context, m *message) (ingest.Sample, error) {
	c, err := m.Sample.check(s.o)
	if err != nil {
		return ingest.Sample{}, s.fail(ctx, err)
	}
	part := s.o.Account.Part()
	defer part.Close()
	if err := part.Take(c.size); err != nil {
		s.end(false)
		return ingest.Sample{}, fmt.Errorf("%s: %w", s.path, err)
	}
	to := c.allocate()
	stop := s.w.Conn.Bound(ctx, 2*s.limit)
	defer stop()
	if s.w.Shared == nil {
		for _, b := range to {
			if _, err := io.ReadFull(s.w.Conn, b); err != nil {
				return ingest.Sample{}, s.fail(ctx, err)
			}
		}
		return c.sample, nil
	}
	for left := c.size; ; {
		if m.N < 0 || m.N > int64(len(s.w.Shared)) || m.N > left || m.N < min(left, int64(len(s.w.Shared))) {
			return ingest.Sample{}, s.fail(ctx, fmt.Errorf("found a block of %d bytes of %d", m.N, left))
		}
		from := s.w.Shared[:m.N]
		for len(from) > 0 {
			if len(to[0]) == 0 {
				to = to[1:]
				continue
			}
			n := copy(to[0], from)
			from, to[0] = from[n:], to[0][n:]
		}
		if left -= m.N; left == 0 {
			return c.sample, nil
		}
		if err := s.order(ctx, &order{Do: "block"}); err != nil {
			return ingest.Sample{}, err
		}
		m = new(message)
		if err := readFrame(s.w.Conn, m, maxAnswer); err != nil {
			return ingest.Sample{}, s.fail(ctx, err)
		}
		if m.Is != "block" {
			return ingest.Sample{}, s.fail(ctx, fmt.Errorf("found result %.20q, want a block", m.Is))
		}
	}
}

// Classes returns the names that the worker's source knows.
func (s *source) Classes(context.Context) []string { return s.classes }

// Close ends reading. A worker that is in the middle of an input has not long to stop.
func (s *source) Close() error {
	if s.w == nil {
		return nil
	}
	s.ended = fs.ErrClosed
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if !s.asked {
		if err := s.order(ctx, &order{Do: "close"}); err != nil {
			return nil // nothing is lost: the worker is gone
		}
	}
	m, err := s.result(ctx)
	if err != nil {
		return nil // as above
	}
	s.end(m.Is == "end") // otherwise a sample was on its way
	return nil
}

// closeTime is how long a worker has to stop reading.
const closeTime = 5 * time.Second

// slicer is a source whose samples are rows.
type slicer struct{ *source }

// Len returns the number of remaining samples.
func (s *slicer) Len() int { return s.left }

// Slice skips samples and limits their number.
func (s *slicer) Slice(first, count int) {
	first, count = max(0, first), max(0, count)
	s.at += min(first, s.left)
	s.left = min(count, max(0, s.left-first))
	if s.ended != nil {
		return
	}
	ctx := context.Background()
	if err := s.order(ctx, &order{Do: "slice", First: first, Count: count}); err != nil &&
		(!wasKilled(err) || !s.revive(ctx)) {
		s.ended = err
	}
}
