package confined

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/internal/sandbox"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// workerArg, as the first of two arguments, makes this binary a worker. The second is its limit of memory.
const workerArg = "decode-worker"

// gcPercent is that of a worker, whose heap is small: with Go's 100, collecting would take a third of its time.
const gcPercent = 400

// maxDescriptors is the number of files that a worker may have open, besides those of Go's runtime.
const maxDescriptors = 128

// init makes this process a worker if it was started as one. It never returns then.
func init() {
	if len(os.Args) == 3 && os.Args[1] == workerArg {
		os.Exit(work(os.Args[2]))
	}
}

func work(memory string) int {
	limit, err := strconv.ParseInt(memory, 10, 64)
	if err != nil {
		limit = 0
	}
	w, err := sandbox.Enter(sandbox.Limits{Memory: limit, Files: maxDescriptors})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s := &server{
		w: w, orders: make(chan sent, maxOrders), answers: make(chan sent), options: formats.NewOptions(),
	}
	debug.SetGCPercent(gcPercent)
	regular.Use(s)
	go s.receive()
	for o := range s.orders {
		if err := s.obey(o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// maxOrders is how many orders wait while the worker decodes: for the next sample, and to close. The answers to its
// questions come behind them.
const maxOrders = 8

// sent is an order or an answer of the parent, with the file that came with it.
type sent struct {
	*order
	file *os.File
}

// server is the state of a worker.
type server struct {
	w       *sandbox.Worker
	orders  chan sent
	answers chan sent
	asking  sync.Mutex // a question and its answer
	write   sync.Mutex // a message and what follows it
	options ingest.Options

	mu       sync.Mutex
	answered int
	item     *order   // that is being read
	given    *os.File // its descriptor, until a reader takes it
	granted  int64    // memory that the parent has taken for the item
	used     int64
}

// receive tells orders from answers. The process ends with the connection.
func (s *server) receive() {
	defer close(s.orders)
	defer close(s.answers)
	for {
		o := new(order)
		if err := readFrame(s.w.Conn, o, maxMessage); err != nil {
			return
		}
		r := sent{order: o}
		if o.Sent {
			f, err := s.w.Conn.Take()
			if err != nil {
				return
			}
			r.file = f
		}
		if o.Do == "" {
			s.answers <- r
			continue
		}
		s.orders <- r
	}
}

func (s *server) send(m *message) error {
	s.write.Lock()
	defer s.write.Unlock()
	return writeFrame(s.w.Conn, m, nil)
}

// ask asks the parent a question.
func (s *server) ask(m *message) (*order, *os.File, error) {
	s.asking.Lock()
	defer s.asking.Unlock()
	if err := s.send(m); err != nil {
		return nil, nil, err
	}
	r, ok := <-s.answers
	if !ok {
		return nil, nil, io.ErrUnexpectedEOF // the parent is gone
	}
	s.mu.Lock()
	s.answered++
	n := s.answered
	s.mu.Unlock()
	if r.Fault != nil {
		return nil, nil, r.Fault.local(n)
	}
	return r.order, r.file, nil
}

// Open asks the parent for a file, unless it is the input, whose descriptor came with the order.
func (s *server) Open(path string) (*os.File, fs.FileInfo, error) {
	s.mu.Lock()
	f := s.given
	if f != nil && s.item.Path == path {
		s.given = nil
		s.mu.Unlock()
		return f, fileInfo{*s.item.File}, nil
	}
	s.mu.Unlock()
	o, f, err := s.ask(&message{Ask: "open", Path: path})
	if err == nil && (f == nil || o.File == nil) {
		err = errors.New("found no descriptor in an answer")
	}
	if err != nil {
		return nil, nil, err
	}
	return f, fileInfo{*o.File}, nil
}

// OpenShared gives another descriptor of the input.
func (s *server) OpenShared(path string) (*os.File, fs.FileInfo, error) {
	s.mu.Lock()
	if f := s.given; f != nil && s.item.Path == path {
		defer s.mu.Unlock()
		double, err := duplicate(f)
		return double, fileInfo{*s.item.File}, err
	}
	s.mu.Unlock()
	return s.Open(path)
}

func (s *server) Stat(path string) (fs.FileInfo, error) {
	if s.item.Path == path && s.item.File != nil {
		return fileInfo{*s.item.File}, nil
	}
	o, _, err := s.ask(&message{Ask: "stat", Path: path})
	if err == nil && o.File == nil {
		err = errors.New("found no description in an answer")
	}
	if err != nil {
		return nil, err
	}
	return fileInfo{*o.File}, nil
}

func (s *server) ReadDir(path string) ([]fs.DirEntry, error) {
	o, _, err := s.ask(&message{Ask: "list", Path: path})
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, len(o.Names))
	for i, n := range o.Names {
		out[i] = fileInfo{n}
	}
	return out, nil
}

func (s *server) Resolve(path string) (string, error) {
	if s.item.Path == path && s.item.Resolved != "" {
		return s.item.Resolved, nil
	}
	o, _, err := s.ask(&message{Ask: "resolve", Path: path})
	if err != nil {
		return "", err
	}
	return o.Resolved, nil
}

// step is how much memory is asked for at once, if that much is there.
const step = 4 << 20

// take takes memory for the item, of which the parent has granted some in advance.
func (s *server) take(n int64) error {
	s.mu.Lock()
	short := s.used + n - s.granted
	if short <= 0 {
		s.used += n
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	more := max(short, step)
	_, _, err := s.ask(&message{Ask: "take", N: more})
	if err != nil && more > short {
		more = short
		_, _, err = s.ask(&message{Ask: "take", N: more})
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.granted += more
	s.used += n
	s.limitHeap()
	s.mu.Unlock()
	return nil
}

// heap is the memory that a worker may use beyond what its item was granted and a quarter of that, which garbage takes.
const heap = 32 << 20

// limitHeap makes the garbage collector keep to what the item was granted, so that many workers with small items do not
// hold much garbage together. The caller holds s.mu.
func (s *server) limitHeap() { debug.SetMemoryLimit(heap + s.granted + s.granted/4) }

// surplus is how much memory is kept for the next need of the same item.
const surplus = 64 << 20

func (s *server) giveBack(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	if extra := s.granted - s.used; extra > surplus {
		s.granted -= extra
		s.limitHeap()
		_ = s.send(&message{Ask: "give", N: extra}) // the parent sees a broken connection, too
	}
}

// obey executes an order of the parent. An error ends the process.
func (s *server) obey(o sent) error {
	ctx := context.Background()
	switch o.Do {
	case "open", "detect", "inspect":
	case "next", "close": // crossed with the end of the input before
		return nil
	default:
		return fmt.Errorf("found order %q without an input", o.Do)
	}
	if o.Options != nil {
		if err := decodeOptions(o.Options, &s.options); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.item, s.given, s.answered, s.granted, s.used = o.order, o.file, 0, o.Granted, 0
	s.limitHeap()
	s.mu.Unlock()
	options := s.options
	options.Notes = new(ingest.Notes)
	options.Budget = budget.Remote(s.take, s.giveBack)
	err := s.read(ctx, o.order, options)
	s.mu.Lock()
	if s.given != nil {
		_ = s.given.Close()
		s.given = nil
	}
	s.mu.Unlock()
	return err
}

// read answers an order about an input with results, of which the last is end.
func (s *server) read(ctx context.Context, o *order, options ingest.Options) error {
	switch o.Do {
	case "detect":
		name, sure, note, err := formats.Recognize(ctx, o.Path, options)
		return s.send(&message{Is: "end", Name: name, Sure: sure, Note: note, Fault: faultOf(err)})
	case "inspect":
		found, err := formats.Inspect(ctx, o.Path, options)
		m := &message{Is: "end", Name: found.Format, Notes: found.Notes, Fault: faultOf(err)}
		if err == nil {
			// The parent cannot tell lines of names from those between them.
			m.Detail = &wireDetail{Kind: found.Detail.Kind(), Text: screen.Printable(found.Detail).Text()}
			if m.Detail.JSON, err = json.Marshal(found.Detail); err != nil {
				m.Detail, m.Fault = nil, faultOf(err)
			}
		}
		return s.send(m)
	}
	src, err := formats.OpenSingle(ctx, o.Path, options)
	if err != nil {
		return s.send(&message{Is: "end", Fault: faultOf(err), Notes: options.Notes.Take()})
	}
	opened := &message{Is: "opened", Classes: ingest.ClassesOf(ctx, src)}
	slicer, sliced := src.(ingest.Slicer)
	if sliced {
		opened.Sliced, opened.Len = true, slicer.Len()
	}
	if err := s.send(opened); err != nil {
		return errors.Join(err, src.Close())
	}
	return s.samples(ctx, src, sliced, options)
}

// samples sends the samples of a source. While the parent works on one, the next is decoded. A source that may be
// sliced waits until the parent wants its first sample.
func (s *server) samples(ctx context.Context, src ingest.Source, wait bool, options ingest.Options) error {
	end := func(err error) error {
		if cerr := src.Close(); err == nil {
			err = cerr
		}
		return s.send(&message{Is: "end", Fault: faultOf(err), Notes: options.Notes.Take()})
	}
	// next waits until the parent wants a sample; it reports false if it wants no more.
	next := func() (bool, error) {
		for {
			o, ok := <-s.orders
			switch {
			case !ok:
				return false, io.ErrUnexpectedEOF
			case o.Do == "next":
				return true, nil
			case o.Do == "close":
				return false, nil
			case o.Do == "slice":
				slicer, ok := src.(ingest.Slicer)
				if !ok {
					return false, errors.New("found an order to slice a source that cannot be")
				}
				slicer.Slice(o.First, o.Count)
			default:
				return false, fmt.Errorf("found order %q while a source is open", o.Do)
			}
		}
	}
	if wait {
		if more, err := next(); err != nil || !more {
			return errors.Join(err, end(nil))
		}
	}
	for sent := 0; ; sent++ {
		sample, err := src.Read(ctx)
		item, one := errors.AsType[*ingest.ItemError](err)
		if err != nil && !one {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return end(err)
		}
		if sent > 0 {
			if more, err := next(); err != nil || !more {
				return errors.Join(err, end(nil))
			}
		}
		if one {
			err = s.send(&message{Is: "bad", ID: idOf(item.ID), Fault: faultOf(item.Err)})
		} else {
			err = s.sample(&sample)
		}
		if err != nil {
			return err
		}
	}
}

// sample sends one sample.
func (s *server) sample(sample *ingest.Sample) error {
	h, c, err := headOf(sample)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	shared := s.w.Shared
	if shared == nil {
		if err := writeFrame(s.w.Conn, &message{Is: "sample", Sample: h}, nil); err != nil {
			return err
		}
		for _, b := range c {
			if _, err := s.w.Conn.Write(b); err != nil {
				return err
			}
		}
		return nil
	}
	for first := true; ; first = false {
		n := 0
		for len(c) > 0 && n < len(shared) {
			k := copy(shared[n:], c[0])
			n += k
			if c[0] = c[0][k:]; len(c[0]) == 0 {
				c = c[1:]
			}
		}
		m := &message{Is: "block", N: int64(n)}
		if first {
			m.Is, m.Sample = "sample", h
		}
		if err := writeFrame(s.w.Conn, m, nil); err != nil {
			return err
		}
		if len(c) == 0 {
			return nil
		}
		if o, ok := <-s.orders; !ok || o.Do != "block" {
			return errors.New("found no order for the rest of a sample")
		}
	}
}

// encodeOptions and decodeOptions carry the limits and the readers' options.
func encodeOptions(o ingest.Options) (json.RawMessage, error) {
	o = o.WithDefaults()
	wire := wireOptions{
		MaxBytes: int64(o.MaxBytes), MaxPoints: o.MaxPoints, MaxPixels: o.MaxPixels,
		MaxCells: o.MaxCells, Fields: o.Fields,
	}
	for _, r := range o.Readers {
		b, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("options of type %T: %w", r, err)
		}
		wire.Readers = append(wire.Readers, wireReader{fmt.Sprintf("%T", r), b})
	}
	return json.Marshal(wire)
}

// wireCache keeps the encoding of the options that were used last: those of a source are the same for all its files.
type wireCache struct {
	mu      sync.Mutex
	of      ingest.Options
	encoded json.RawMessage
}

// encode encodes options, whose readers' options do not change while they are used.
func (c *wireCache) encode(o ingest.Options) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.encoded != nil && slices.Equal(o.Readers, c.of.Readers) && o.MaxBytes == c.of.MaxBytes &&
		o.MaxPoints == c.of.MaxPoints && o.MaxPixels == c.of.MaxPixels && o.MaxCells == c.of.MaxCells &&
		slices.Equal(o.Fields, c.of.Fields) {
		return c.encoded, nil
	}
	encoded, err := encodeOptions(o)
	if err == nil {
		c.of, c.encoded = o, encoded
	}
	return encoded, err
}

type wireOptions struct {
	MaxBytes                       int64
	MaxPoints, MaxPixels, MaxCells int
	Fields                         []string
	Readers                        []wireReader
}

type wireReader struct {
	Type    string
	Options json.RawMessage
}

func decodeOptions(b json.RawMessage, o *ingest.Options) error {
	var wire wireOptions
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	fresh := formats.NewOptions()
	o.Readers = nil
	for _, w := range wire.Readers {
		for _, r := range fresh.Readers {
			if fmt.Sprintf("%T", r) != w.Type {
				continue
			}
			if err := json.Unmarshal(w.Options, r); err != nil {
				return err
			}
			o.Readers = append(o.Readers, r)
		}
	}
	o.MaxBytes = option.Bytes(wire.MaxBytes)
	o.MaxPoints, o.MaxPixels, o.MaxCells = wire.MaxPoints, wire.MaxPixels, wire.MaxCells
	o.Fields = wire.Fields
	return nil
}
