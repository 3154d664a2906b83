//go:build cgo && !nohdf5

package h5

// #include "shim.h"
// #include <stdlib.h>
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
	"unsafe"

	"gonum.org/v1/hdf5"

	"github.com/voxelstream/voxelstream/internal/sandbox"
)

// init makes this process a worker if it was started as one. It never returns then: main and the other packages'
// init functions do not run. The goroutine that initializes packages is bound to the main thread, so all calls of
// libhdf5 are made by one thread.
func init() {
	if len(os.Args) == 2 && os.Args[1] == workerArg {
		os.Exit(workerMain())
	}
}

func workerMain() int {
	C.vs_quiet()
	if C.vs_harden() < 0 {
		fmt.Fprintln(os.Stderr, "libhdf5:", libError())
		return 1
	}
	w, err := sandbox.Enter(sandbox.Limits{Memory: addressSpace, Files: maxDescriptors})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s := server{shared: w.Shared}
	for {
		q, err := readRequest(w.Conn)
		if errors.Is(err, io.EOF) {
			return 0
		}
		if err == nil && q.Op == opOpen {
			s.close()
			s.plain, err = w.Conn.Take()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		p := new(reply)
		systemFailure = nil
		payload, err := s.do(q, p)
		if systemFailure != nil {
			// A disk that fails says nothing about the file: neither that an object is damaged, nor that it is whole.
			err = systemFailure
		}
		if err != nil {
			p = &reply{Fault: err.Error()}
			if number, ok := errors.AsType[syscall.Errno](err); ok {
				p.System = int(number)
			}
			switch {
			case errors.Is(err, errMissing):
				p.Is = "missing"
			case errors.Is(err, errRefused):
				p.Is = "refused"
			}
			payload = nil
		}
		if err := writeReply(w.Conn, p, payload, s.shared); err != nil {
			return 1
		}
	}
}

// The worker's errors are sent as text and one of these.
var (
	errMissing = errors.New("no such object")
	errRefused = errors.New("policy")
)

// refusal is an ErrRefused whose text is only the reason.
type refusal string

func (r refusal) Error() string   { return string(r) }
func (r refusal) Is(e error) bool { return e == errRefused }

// missing is the same for ErrNotFound.
type missing string

func (m missing) Error() string   { return string(m) }
func (m missing) Is(e error) bool { return e == errMissing }

// server is the state of a worker: one file and the datasets last read from it, the latest last.
type server struct {
	file *hdf5.File
	// size is that of the file, claimed what its header says, if that is more: a file that was cut off.
	size, claimed int64
	open          []*openDataset
	seen          map[[2]uint64]bool // files and addresses of the objects listed
	// shared is memory that the parent can read, or nil.
	shared []byte
	buf    []byte
	raw    []byte // values as they are in the file
	wide   []float64
	count  int
	// plain is the descriptor of the file, for values that need no library; nil if none was sent.
	plain     *os.File
	window    window
	unpackers []*unpacker
}

// openDataset keeps a dataset's handle, and with it its chunk cache, between requests.
type openDataset struct {
	path   string
	ds     *hdf5.Dataset
	facts  *facts
	info   C.vs_info
	fields []Field // of compound values
	// checked is the range of rows whose chunk sizes have been checked.
	checked [2]uint64
	// next is the row after those last read.
	next int
	// fill is the value of what was never written, once it is known.
	fill []byte
	// damage is the chunk that last could not be read, or nil.
	damage *damage
	// wide means that there are values that may not fit float32.
	wide bool
}

// keepOpen is the number of datasets that stay open: values and labels of two splits.
const keepOpen = 4

// For tests: onRequest sees each request before it is served, policyOff lets everything through to libhdf5.
var (
	onRequest func(q *request)
	policyOff bool
)

func (s *server) do(q *request, p *reply) ([]byte, error) {
	if q.Op == opOpen {
		return nil, s.openFile(q, p)
	}
	if q.Op == opClose {
		s.close()
		p.Open = openObjects()
		return nil, nil
	}
	if onRequest != nil {
		onRequest(q)
	}
	if s.file == nil {
		return nil, errors.New("no file is open")
	}
	path, err := s.follow(q.Path)
	if err != nil {
		return nil, err
	}
	asked := q.Path
	q.Path = path
	switch q.Op {
	case opList:
		s.seen, s.count = map[[2]uint64]bool{}, 0
		if q.Path == "/" && q.Deep {
			p.Objects = append(p.Objects, s.describe("/"))
		}
		p.Objects, err = s.list(q.Path, q.Deep, p.Objects, 0)
		return nil, err
	case opObject:
		o := s.describe(q.Path)
		o.Path = asked
		p.Objects = []Object{o}
		return nil, nil
	case opAttrs:
		return s.attrs(q, p)
	case opRead:
		return s.read(q)
	case opStrings:
		return s.strings(q)
	}
	return nil, fmt.Errorf("unknown request %q", q.Op)
}

func (s *server) openFile(q *request, p *reply) error {
	info, err := s.plain.Stat()
	if err != nil {
		return err
	}
	s.size, s.claimed = info.Size(), info.Size()
	if C.vs_input(C.int(s.plain.Fd()), C.uint64_t(s.size)) < 0 {
		return libError()
	}
	f, err := hdf5.OpenFile(inputName, hdf5.F_ACC_RDONLY)
	if err == nil {
		s.file = f
		return nil
	}
	err = libError()
	if C.vs_lenient() < 0 {
		return err
	}
	f, again := hdf5.OpenFile(inputName, hdf5.F_ACC_RDONLY)
	if again != nil {
		return err
	}
	s.file = f
	var claimed C.uint64_t
	if C.vs_claimed(s.id(), &claimed) == 0 && uint64(claimed) > uint64(s.size) {
		p.Note = fmt.Sprintf("the file was cut off, or not closed by its writer: it holds %d of %d bytes; what is "+
			"whole is read",
			s.size, uint64(claimed))
		s.claimed = int64(min(uint64(claimed), maxCut*uint64(s.size)))
	} else if !q.Unclosed {
		return err
	}
	return nil
}

// inputName is how libhdf5 knows the file, whose descriptor it has.
const inputName = "input"

// Limits of the worker. Two gigabytes of address space suffice for Go, libhdf5 and the largest row, and make a
// decompression bomb fail to allocate.
const (
	addressSpace   = 2 << 30
	maxDescriptors = 16
)

// maxCut limits the size that the header of a file that was cut off may claim, as a multiple of what is there.
const maxCut = 64

func (s *server) close() {
	for _, d := range s.open {
		_ = d.ds.Close()
	}
	s.open, s.window.dataset = nil, nil
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	if s.plain != nil {
		_ = s.plain.Close()
		s.plain = nil
	}
}

func (s *server) id() C.hid_t { return C.hid_t(s.file.ID()) }

// maxSoftLinks limits the soft links on the way to an object, which may form a cycle.
const maxSoftLinks = 64

// follow returns the path to the same object by hard links. Soft links are followed within the file; external ones
// lead out of it and are refused.
func (s *server) follow(path string) (string, error) {
	if err := checkPath(path); err != nil {
		return "", err
	}
	for range maxSoftLinks {
		next, soft, err := s.step(path)
		if err != nil || !soft {
			return path, err
		}
		path = next
	}
	return "", refusal(path + " is a soft link that leads to itself")
}

// step resolves the first soft link on a path, if there is one.
func (s *server) step(path string) (next string, soft bool, err error) {
	for at := range ancestry(path) {
		target, err := s.link(at)
		if err != nil {
			return "", false, err
		}
		if target == "" {
			continue
		}
		if !strings.HasPrefix(target, "/") {
			target = at[:strings.LastIndexByte(at, '/')+1] + target
		}
		var steps []string
		for step := range strings.SplitSeq(target+path[len(at):], "/") {
			if step != "" && step != "." {
				steps = append(steps, step)
			}
		}
		next := "/" + strings.Join(steps, "/")
		return next, true, checkPath(next)
	}
	return path, false, nil
}

// link returns the target of a soft link, or "" for a hard link.
func (s *server) link(path string) (target string, err error) {
	c, free := cString(path)
	defer free()
	buf := make([]C.char, maxLink)
	switch C.vs_link(s.id(), c, &buf[0], C.size_t(len(buf))) {
	case 0:
		return "", nil
	case 1:
		if target = C.GoString(&buf[0]); target == "" {
			return "", refusal(path + " is a soft link without a target")
		}
		return target, nil
	case 2:
		return "", refusal(path + " is an external link, which leads to another file; open that file itself")
	case -1:
		return "", missing("the file has no object " + path)
	}
	return "", libError()
}

// maxLink limits the length of a link's target.
const maxLink = 4 << 10

// list appends the members of a group.
func (s *server) list(group string, deep bool, out []Object, depth int) ([]Object, error) {
	g, err := s.file.OpenGroup(group)
	if err != nil {
		return out, libError()
	}
	names, err := s.links(C.hid_t(g.ID()), !deep)
	_ = g.Close()
	if err != nil {
		return out, err
	}
	for _, name := range names {
		if s.count++; s.count > maxObjects {
			return out, refusal(fmt.Sprintf("more than %d objects", maxObjects))
		}
		path := strings.TrimSuffix(group, "/") + "/" + name
		if !deep {
			out = append(out, s.member(path))
			continue
		}
		o, fresh := s.kind(path)
		if !fresh {
			continue
		}
		if o.Refused == "" {
			o = s.describe(path)
		}
		out = append(out, o)
		if o.Kind != Group || o.Refused != "" {
			continue
		}
		at := len(out) - 1
		if depth+1 >= maxDepth {
			out[at].Refused = fmt.Sprintf("it is deeper than %d groups", maxDepth)
			continue
		}
		more, err := s.list(path, deep, out, depth+1)
		if errors.Is(err, errRefused) {
			return out, err
		}
		out = more
		if err != nil {
			out[at].Refused = err.Error() // one damaged group does not hide the others
		}
	}
	return out, nil
}

// member identifies a member of a group, which may be a link to another object.
func (s *server) member(path string) Object {
	if checkPath(path) != nil {
		o, _ := s.kind(path)
		return o
	}
	real, err := s.follow(path)
	if err != nil {
		return Object{Path: path, Kind: Other, Refused: err.Error()}
	}
	o, _ := s.kind(real)
	o.Path = path
	return o
}

// links returns the names of a group's links: of hard ones, or of all.
func (s *server) links(group C.hid_t, all bool) ([]string, error) {
	l := &C.vs_names{max: maxObjects, max_bytes: maxNameBytes}
	defer C.vs_names_free(l)
	if C.vs_links(group, l) < 0 {
		return nil, libError()
	}
	if l.overflow != 0 {
		return nil, refusal(fmt.Sprintf("a group has more than %d members or %d bytes of names", maxObjects, maxNameBytes))
	}
	var out []string
	types := unsafe.Slice(l._type, l.len)
	for i, name := range unsafe.Slice(l.name, l.len) {
		if all || types[i] == 0 {
			out = append(out, C.GoString(name))
		}
	}
	return out, nil
}

// kind identifies the object at path, and reports whether it is new in this listing.
func (s *server) kind(path string) (o Object, fresh bool) {
	o = Object{Path: path, Kind: Other}
	if !utf8.ValidString(path) {
		o.Path, o.Refused = strings.ToValidUTF8(path, "?"), "its name is not UTF-8"
		return o, true
	}
	var file, addr, attrs C.uint64_t
	var kind C.int
	c, free := cString(path)
	defer free()
	if C.vs_object(s.id(), c, &file, &addr, &kind, &attrs) < 0 {
		o.Refused = libError().Error()
		return o, true
	}
	o.Attrs = int(min(attrs, math.MaxInt32))
	switch kind {
	case 0:
		o.Kind = Group
	case 1:
		o.Kind = Dataset
	}
	at := [2]uint64{uint64(file), uint64(addr)}
	if s.seen[at] {
		return o, false
	}
	if s.seen != nil {
		s.seen[at] = true
	}
	return o, true
}

// describe returns all information about the object at path. If that fails, the error is the reason to refuse it.
func (s *server) describe(path string) Object {
	seen := s.seen
	s.seen = nil
	o, _ := s.kind(path)
	s.seen = seen
	if path == "/" && seen != nil {
		s.kind(path) // a link back to the root is not a new object
	}
	if o.Kind != Dataset || o.Refused != "" {
		return o
	}
	d, err := s.openPlain(path)
	if err != nil {
		o.Refused = err.Error()
		if s.claimed > s.size {
			o.Refused += "; the file was cut off, and this part of it is lost"
		}
		return o
	}
	defer d.ds.Close() //nolint:errcheck // opened for reading
	d.facts.object(&o)
	o.Refused = s.judge(d.facts)
	o.Fields = d.fields
	return o
}

// judge returns "", or the reason not to read the values of a dataset.
func (s *server) judge(f *facts) string {
	why := f.judge(s.claimed)
	if why != "" && s.claimed > s.size {
		why += fmt.Sprintf("; the file was cut off: %d bytes of it are left", s.size)
	}
	return why
}

// openPlain opens a dataset and reads what the file claims about it.
func (s *server) openPlain(path string) (*openDataset, error) {
	ds, err := s.file.OpenDatasetWith(path, hdf5.P_DEFAULT)
	if err != nil {
		return nil, libError()
	}
	d := &openDataset{path: path, ds: ds}
	if C.vs_describe(d.id(), &d.info) < 0 {
		err := libError()
		_ = ds.Close()
		return nil, err
	}
	d.facts = factsOf(&d.info)
	if d.facts.class == tCompound {
		if d.fields, err = fields(d.id()); err != nil {
			_ = ds.Close()
			return nil, err
		}
	}
	return d, nil
}

// maxFields limits the fields of a compound type.
const maxFields = 4096

func fields(dataset C.hid_t) ([]Field, error) {
	l := &C.vs_names{max: maxFields, max_bytes: maxNameBytes}
	defer C.vs_names_free(l)
	if C.vs_fields(dataset, l) < 0 {
		return nil, libError()
	}
	if l.overflow != 0 {
		return nil, refusal(fmt.Sprintf("its values have more than %d fields", maxFields))
	}
	var out []Field
	types := unsafe.Slice(l._type, l.len)
	for i, name := range unsafe.Slice(l.name, l.len) {
		out = append(out, Field{Name: strings.ToValidUTF8(C.GoString(name), "?"), Count: int(types[i] >> 4)})
	}
	return out, nil
}

func (d *openDataset) id() C.hid_t { return C.hid_t(d.ds.ID()) }

// dataset returns the dataset at path, opened for reading unless it is open already.
func (s *server) dataset(path string) (*openDataset, error) {
	for i, d := range s.open {
		if d.path == path {
			s.open = append(append(s.open[:i:i], s.open[i+1:]...), d)
			return d, nil
		}
	}
	d, err := s.openPlain(path)
	if err != nil {
		return nil, err
	}
	if why := s.judge(d.facts); why != "" && !policyOff {
		_ = d.ds.Close()
		return nil, refusal(why)
	}
	if len(d.facts.filters) > 0 && !d.facts.own() {
		if err := s.reopenCached(d); err != nil {
			return nil, err
		}
	}
	if len(s.open) == keepOpen {
		_ = s.open[0].ds.Close()
		s.open = s.open[1:]
	}
	s.open = append(s.open, d)
	return d, nil
}

// reopenCached reopens a dataset with filters with a cache for its chunks. Without filters a large cache would make
// reading slower.
func (s *server) reopenCached(d *openDataset) (err error) {
	_ = d.ds.Close()
	d.ds, err = openCached(s.file, d.path, d.facts)
	return err
}

// behind is the error of rows that lie behind the end of a file.
func behind(row, rows uint64) error {
	if rows == 1 {
		return fmt.Errorf("row %d lies behind the end of the file, which was cut off", row)
	}
	return fmt.Errorf("rows %d to %d lie behind the end of the file, which was cut off", row, row+rows-1)
}

// checkChunks rejects rows with a stored chunk that is far larger than its values, and in a file that was cut off, rows
// that lie behind its end.
func (s *server) checkChunks(d *openDataset, axis int, row, rows uint64) error {
	f := d.facts
	cut := s.claimed > s.size
	if cut && f.layout == dContiguous && f.offset != nowhere && f.rank > 0 {
		end := f.dims[0]
		if axis == 0 {
			end = row + rows
		}
		rowBytes := f.size
		for _, n := range f.dims[1:] {
			rowBytes *= n // judged: the total is far below 2^64
		}
		if end*rowBytes > uint64(s.size) || f.offset > uint64(s.size)-end*rowBytes {
			return behind(row, rows)
		}
	}
	if policyOff || f.layout != dChunked || (len(f.filters) == 0 || f.own()) && !cut || f.rank == 0 ||
		axis == 0 && row >= d.checked[0] && row+rows <= d.checked[1] {
		return nil
	}
	nominal := f.chunkBytes()
	limit := nominal + nominal/8 + chunkSlack
	switch C.vs_chunks_ok(d.id(), &d.info, C.int(axis), C.uint64_t(row), C.uint64_t(rows), C.uint64_t(limit),
		C.uint64_t(s.size)) {
	case 0:
	case 1:
		return refusal(fmt.Sprintf("a stored chunk is larger than %d bytes, but its values take %d", limit, nominal))
	case 2:
		return fmt.Errorf("a chunk of rows %d to %d lies behind the end of the file, which was cut off", row, row+rows-1)
	default:
		return libError()
	}
	if axis == 0 {
		c := f.chunk[0]
		d.checked = [2]uint64{row / c * c, (row + rows + c - 1) / c * c}
	}
	return nil
}

// rows checks a range of rows (or columns) against the dataset, and returns the axis they are counted along and the
// number of elements in each.
func (d *openDataset) rows(q *request) (axis, rowLen int, err error) {
	f := d.facts
	if q.Columns {
		axis = max(0, f.rank-1)
	}
	have := uint64(1)
	if f.rank > 0 {
		have = f.dims[axis]
	}
	if q.Row < 0 || q.Rows <= 0 || uint64(q.Row) > have || uint64(q.Rows) > have-uint64(q.Row) {
		return 0, 0, fmt.Errorf("found %d rows, want %d from row %d", have, q.Rows, q.Row)
	}
	rowLen = 1
	for i, n := range f.dims {
		if i != axis {
			rowLen *= int(n)
		}
	}
	if rowLen == 0 {
		return 0, 0, errors.New("its rows are empty")
	}
	if bytes := 8 * rowLen; q.Rows > maxRowBytes/bytes {
		return 0, 0, refusal(fmt.Sprintf("%d rows take more than %d bytes", q.Rows, maxRowBytes))
	}
	return axis, rowLen, nil
}

// space returns n bytes, reusing the same memory: the shared one if it is large enough.
func (s *server) space(n int) []byte {
	if n <= len(s.shared) {
		return s.shared[:n]
	}
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	return s.buf[:n]
}

// span is the part of a dataset that a request wants: count rows from row first along an axis, of rowLen elements each.
type span struct {
	axis, first, count, rowLen int
	field                      string
	values                     int // numbers in an element: more than one in a field that is an array
}

func (s *server) read(q *request) ([]byte, error) {
	d, err := s.dataset(q.Path)
	if err != nil {
		return nil, err
	}
	axis, rowLen, err := d.rows(q)
	if err != nil {
		return nil, err
	}
	if err := s.checkChunks(d, axis, uint64(q.Row), uint64(q.Rows)); err != nil {
		return nil, err
	}
	part := span{axis: axis, first: q.Row, count: q.Rows, rowLen: rowLen, field: q.Field, values: 1}
	if q.Field != "" {
		i := slices.IndexFunc(d.fields, func(f Field) bool { return f.Name == q.Field && f.Count > 0 })
		if i < 0 || q.As != asFloat64 {
			return nil, fmt.Errorf("found no field %q of numbers", q.Field)
		}
		part.values = d.fields[i].Count
	}
	if q.Rows*rowLen > maxRowBytes/8/part.values {
		return nil, refusal(fmt.Sprintf("%d rows take more than %d bytes", q.Rows, maxRowBytes))
	}
	n := q.Rows * rowLen * part.values
	out := s.space(n * q.As.size())
	f := d.facts
	fromFloat := f.class == tFloat
	at := func(i int) int {
		if q.Columns {
			return q.Row + i%q.Rows
		}
		return q.Row + i/rowLen
	}
	switch {
	case f.class == tString:
		return nil, errors.New("found strings, want numbers")
	case f.class == tCompound && q.Field == "":
		return nil, errors.New("found records of several values, want numbers")
	case f.class == tBits:
		return out, s.bits(d, q, part, out)
	case q.As == asFloat32 && f.native == int(C.VS_F64) && !d.wide && s.readable(d, part):
		if err := s.direct(d, part, narrowed, out); !errors.Is(err, errRange) {
			return out, err
		}
		d.wide = true
		return s.read(q)
	case q.As == asFloat32 && fromFloat && (f.size > 4 || f.expBits > 8):
		// libhdf5 silently converts values that are too large to infinity, so we narrow them ourselves.
		wide, err := s.doubles(d, part, n)
		if err != nil {
			return nil, err
		}
		narrow := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(out))), n)
		if C.vs_narrow((*C.float)(unsafe.SliceData(narrow)), (*C.double)(unsafe.SliceData(wide)), C.size_t(n)) != 0 {
			for i, v := range wide {
				if math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0) {
					return nil, fmt.Errorf("row %d: found %g, which float32 cannot hold", at(i), v)
				}
			}
		}
		return out, nil
	case q.As == asFloat32:
		return out, s.fill(d, C.VS_F32, part, out)
	case q.As == asFloat64:
		return out, s.fill(d, C.VS_F64, part, out)
	case q.As != asInt64:
		return nil, fmt.Errorf("unknown type %q", q.As)
	case fromFloat:
		wide, err := s.doubles(d, part, n)
		if err != nil {
			return nil, err
		}
		ints := unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(out))), n)
		for i, v := range wide {
			if v != math.Trunc(v) || v < -(1<<63) || v >= 1<<63 {
				return nil, fmt.Errorf("row %d: found %g, want an integer", at(i), v)
			}
			ints[i] = int64(v)
		}
		return out, nil
	case !f.signed && f.size == 8:
		if err := s.fill(d, C.VS_U64, part, out); err != nil {
			return nil, err
		}
		for i, v := range unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(out))), n) {
			if v > math.MaxInt64 {
				return nil, fmt.Errorf("row %d: found %d, which int64 cannot hold", at(i), v)
			}
		}
		return out, nil
	}
	return out, s.fill(d, C.VS_I64, part, out)
}

// doubles reads a part as float64.
func (s *server) doubles(d *openDataset, part span, n int) ([]float64, error) {
	if cap(s.wide) < n {
		s.wide = make([]float64, n)
	}
	wide := s.wide[:n]
	return wide, s.fill(d, C.VS_F64, part, bytesOf(wide))
}

// bits reads bit fields, which libhdf5 converts to no numbers: PyTables stores bool as bit fields of 8 bits.
func (s *server) bits(d *openDataset, q *request, part span, out []byte) error {
	n := len(out) / q.As.size()
	words := make([]uint64, n)
	if err := s.fill(d, C.VS_U64, part, bytesOf(words)); err != nil {
		return err
	}
	p := unsafe.Pointer(unsafe.SliceData(out))
	for i, v := range words {
		switch q.As {
		case asFloat32:
			unsafe.Slice((*float32)(p), n)[i] = float32(v)
		case asFloat64:
			unsafe.Slice((*float64)(p), n)[i] = float64(v)
		default:
			if v > math.MaxInt64 {
				return fmt.Errorf("found %d, which int64 cannot hold", v)
			}
			unsafe.Slice((*int64)(p), n)[i] = int64(v)
		}
	}
	return nil
}

// fill reads a part of a dataset into out, converted to a memory type of the shim.
func (s *server) fill(d *openDataset, mem C.int, part span, out []byte) error {
	var field *C.char
	if part.field != "" {
		c, free := cString(part.field)
		defer free()
		field = c
	}
	f := d.facts
	if !s.readable(d, part) {
		return readResult(C.vs_read(d.id(), mem, field, C.int(part.axis), C.uint64_t(part.first), C.uint64_t(part.count),
			C.uint64_t(len(out)), unsafe.Pointer(unsafe.SliceData(out))))
	}
	if field == nil && f.native == int(mem) {
		return s.direct(d, part, stored, out)
	}
	n := part.count * part.rowLen
	size := int(f.size)
	if size == 0 || n > maxRowBytes/size {
		return refusal(fmt.Sprintf("%d rows take more than %d bytes", part.count, maxRowBytes))
	}
	room := max(n*size, len(out))
	if cap(s.raw) < room {
		s.raw = make([]byte, room)
	}
	raw := s.raw[:room]
	if err := s.direct(d, part, stored, raw[:n*size]); err != nil {
		return err
	}
	var background unsafe.Pointer
	if field != nil {
		background = unsafe.Pointer(unsafe.SliceData(make([]byte, room)))
	}
	rc := C.vs_convert(d.id(), mem, field, C.uint64_t(n), C.uint64_t(room), unsafe.Pointer(unsafe.SliceData(raw)),
		background)
	copy(out, raw)
	return readResult(rc)
}

// readable reports whether a part of a dataset can be read with direct. The rest is read by libhdf5.
func (s *server) readable(d *openDataset, part span) bool {
	f := d.facts
	if policyOff {
		return false
	}
	contiguous := f.layout == dContiguous && f.offset != nowhere && f.rank > 0 && part.axis == 0 && s.plain != nil
	return f.own() || contiguous && !f.vlen && f.class != tCompound
}

// direct reads a part of a dataset without libhdf5's conversion.
func (s *server) direct(d *openDataset, part span, as form, out []byte) error {
	if d.facts.layout == dContiguous {
		return s.contiguous(d, part, as, out)
	}
	return s.unpacked(d, part, as, out)
}

func readResult(rc C.int) error {
	if rc == -2 {
		return errors.New("the dataset is larger than its header says")
	}
	return libResult(rc)
}

func (s *server) strings(q *request) ([]byte, error) {
	d, err := s.dataset(q.Path)
	if err != nil {
		return nil, err
	}
	axis, rowLen, err := d.rows(q)
	if err != nil {
		return nil, err
	}
	f := d.facts
	if f.class != tString {
		return nil, errors.New("found numbers, want strings")
	}
	if err := s.checkChunks(d, axis, uint64(q.Row), uint64(q.Rows)); err != nil {
		return nil, err
	}
	part := span{axis: axis, first: q.Row, count: q.Rows, rowLen: rowLen}
	if !s.readable(d, part) {
		_, out, err := readStrings(d.id(), false, &d.info, uint64(q.Row), uint64(q.Rows), nil)
		return out, err
	}
	size, n := int(f.size), q.Rows*rowLen
	if size < 1 || n > maxTextBytes/size {
		return nil, refusal(fmt.Sprintf("the strings take more than %d bytes", maxTextBytes))
	}
	raw := make([]byte, n*size)
	if err := s.direct(d, part, stored, raw); err != nil {
		return nil, err
	}
	var out []byte
	for at := range n {
		text, _, _ := bytes.Cut(raw[at*size:(at+1)*size], []byte{0})
		if f.padded {
			text = bytes.TrimRight(text, " ")
		}
		out = appendString(out, string(text))
	}
	return out, nil
}

// readStrings appends the strings of a dataset's rows or of an attribute to a payload.
func readStrings(id C.hid_t, attr bool, info *C.vs_info, row, rows uint64, out []byte) (int, []byte, error) {
	l := new(C.vs_strings)
	isAttr := C.int(0)
	if attr {
		isAttr = 1
	}
	switch C.vs_strings_read(id, isAttr, info, C.uint64_t(row), C.uint64_t(rows), maxTextBytes, l) {
	case 0:
	case -2:
		return 0, nil, refusal(fmt.Sprintf("the strings take more than %d bytes", maxTextBytes))
	default:
		return 0, nil, libError()
	}
	defer C.vs_strings_free(l)
	for i := range uint64(l.count) {
		var n C.uint64_t
		p := C.vs_string(l, C.uint64_t(i), maxTextBytes, &n)
		if len(out)+int(n) > maxTextBytes {
			return 0, nil, refusal(fmt.Sprintf("the strings take more than %d bytes", maxTextBytes))
		}
		out = appendString(out, string(unsafe.Slice((*byte)(unsafe.Pointer(p)), n)))
	}
	return int(l.count), out, nil
}

func (s *server) attrs(q *request, p *reply) ([]byte, error) {
	c, free := cString(q.Path)
	defer free()
	o := C.H5Oopen(s.id(), c, 0)
	if o < 0 {
		return nil, libError()
	}
	defer C.H5Oclose(o)
	names := []string{q.Name}
	if q.Name == "" {
		var err error
		if names, err = attrNames(o); err != nil {
			return nil, err
		}
	}
	var payload []byte
	for _, name := range names {
		h, more, err := readAttr(o, name, payload)
		if err != nil {
			if q.Name != "" || errors.Is(err, errMissing) {
				return nil, err
			}
			h = attrHead{Name: name, Class: Unknown, Refused: err.Error()}
			more = payload
		}
		if payload = more; len(payload) > 4*maxAttrBytes {
			return nil, refusal(fmt.Sprintf("the attributes take more than %d bytes", 4*maxAttrBytes))
		}
		p.Attrs = append(p.Attrs, h)
	}
	return payload, nil
}

func attrNames(object C.hid_t) ([]string, error) {
	l := &C.vs_names{max: maxAttrs, max_bytes: maxNameBytes}
	defer C.vs_names_free(l)
	if C.vs_attr_names(object, l) < 0 {
		return nil, libError()
	}
	if l.overflow != 0 {
		return nil, refusal(fmt.Sprintf("more than %d attributes", maxAttrs))
	}
	var out []string
	for _, name := range unsafe.Slice(l.name, l.len) {
		out = append(out, C.GoString(name))
	}
	return out, nil
}

// readAttr appends the values of one attribute to the payload.
func readAttr(object C.hid_t, name string, payload []byte) (attrHead, []byte, error) {
	h := attrHead{Name: name}
	c, free := cString(name)
	defer free()
	switch there := C.H5Aexists(object, c); {
	case there < 0:
		return h, nil, libError()
	case there == 0:
		return h, nil, missing("the object has no such attribute")
	}
	a := C.H5Aopen(object, c, 0)
	if a < 0 {
		return h, nil, libError()
	}
	defer C.H5Aclose(a)
	var info C.vs_info
	if C.vs_describe_attr(a, &info) < 0 {
		return h, nil, libError()
	}
	f := factsOf(&info)
	h.Class = f.valueClass()
	for _, d := range f.dims {
		h.Dims = append(h.Dims, int(min(d, 1<<62)))
	}
	if h.Refused = f.judgeAttr(); h.Refused != "" {
		return h, payload, nil
	}
	if h.Class == String {
		var err error
		h.Count, payload, err = readStrings(a, true, &info, 0, 0, payload)
		return h, payload, err
	}
	h.Count = 1
	for _, d := range f.dims {
		h.Count *= int(d)
	}
	if h.Count == 0 {
		return h, payload, nil
	}
	mem := C.int(C.VS_I64)
	switch {
	case f.class == tFloat:
		mem = C.VS_F64
	case !f.signed && f.size == 8:
		mem = C.VS_U64
	}
	values := make([]uint64, h.Count)
	if C.vs_read_attr(a, mem, C.uint64_t(8*h.Count), unsafe.Pointer(&values[0])) < 0 {
		return h, nil, libError()
	}
	if mem == C.VS_U64 {
		for _, v := range values {
			if v > math.MaxInt64 {
				h.Refused, h.Count = fmt.Sprintf("found %d, which int64 cannot hold", v), 0
				return h, payload, nil
			}
		}
	}
	return h, append(payload, bytesOf(values)...), nil
}
