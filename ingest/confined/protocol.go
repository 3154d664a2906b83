package confined

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/sandbox"
	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/record"
)

// The protocol: messages are a length and JSON. The parent sends orders, with a descriptor where a file is to be read;
// the worker sends questions, which the parent answers, and results. The values of a sample follow its message through
// the shared memory, block by block, each after a message of its own, or through the connection if there is no shared
// memory. Each end limits what it accepts from the other.
const (
	sharedBytes = 4 << 20
	maxMessage  = 16 << 20 // a list of names
	maxAnswer   = 1 << 20  // from the worker: a description
	maxText     = 4 << 10  // an error or a note
	maxStream   = 1 << 10  // the name of a stream
	maxClasses  = 1 << 16
)

// order is what the parent wants, or its answer to a question.
type order struct {
	// Do is open, detect, inspect, next, slice, block or close; empty for an answer.
	Do   string `json:"do,omitempty"`
	Path string `json:"path,omitempty"`
	// Options are those of the readers if they differ from the last.
	Options json.RawMessage `json:"options,omitempty"`
	// Granted is the memory that was taken for the input in advance.
	Granted int64 `json:"granted,omitempty"`
	// Resolved is the path without links, and File describes the input.
	Resolved string `json:"resolved,omitempty"`
	File     *info  `json:"file,omitempty"`
	First    int    `json:"first,omitempty"`
	Count    int    `json:"count,omitempty"`

	Names []info `json:"names,omitempty"`
	Fault *fault `json:"fault,omitempty"`
	// Sent says that a descriptor comes with the answer.
	Sent bool `json:"sent,omitempty"`
}

// message is what a worker sends.
type message struct {
	// Ask is open, stat, list, resolve, take or give; empty for a result. The parent answers all but give.
	Ask  string `json:"ask,omitempty"`
	Path string `json:"path,omitempty"`
	N    int64  `json:"n,omitempty"`

	// Is is opened, sample, block, bad or end.
	Is     string        `json:"is,omitempty"`
	Fault  *fault        `json:"fault,omitempty"`
	ID     *id           `json:"id,omitempty"`
	Sample *sampleHead   `json:"sample,omitempty"`
	Notes  []ingest.Note `json:"notes,omitempty"`
	// Len is the number of samples of a source that can be sliced, and Sliced that it can. It sends samples only when
	// asked.
	Len     int      `json:"len,omitempty"`
	Sliced  bool     `json:"sliced,omitempty"`
	Classes []string `json:"classes,omitempty"`
	// Name, Sure and Note are what was detected.
	Name string            `json:"name,omitempty"`
	Sure ingest.Confidence `json:"sure,omitempty"`
	Note string            `json:"note,omitempty"`
	// Detail describes an input.
	Detail *wireDetail `json:"detail,omitempty"`
}

// writeFrame sends a message, and a file along if there is one.
func writeFrame(c *sandbox.Conn, v any, f *os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("found a message of %d bytes, limit %d", len(body), maxMessage)
	}
	b := append(binary.NativeEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body))), body...)
	if f != nil {
		return c.WriteFile(b, f)
	}
	_, err = c.Write(b)
	return err
}

// readFrame reads a message of at most limit bytes.
func readFrame(r io.Reader, v any, limit uint32) error {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return err
	}
	size := binary.NativeEndian.Uint32(n[:])
	if size > limit {
		return fmt.Errorf("found a message of %d bytes, limit %d", size, limit)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

// id is a record.ID.
type id struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq,omitempty"`
	Object uint32 `json:"object,omitempty"`
	View   uint32 `json:"view,omitempty"`
}

func (i *id) record() (record.ID, error) {
	if i == nil || len(i.Stream) > maxStream || strings.ContainsFunc(i.Stream, func(r rune) bool { return r < ' ' }) {
		return record.ID{}, errors.New("found no valid ID")
	}
	return record.ID{Stream: i.Stream, Seq: i.Seq, Object: i.Object, View: i.View}, nil
}

func idOf(r record.ID) *id { return &id{r.Stream, r.Seq, r.Object, r.View} }

// info describes a file.
type info struct {
	Name  string      `json:"name"`
	Size  int64       `json:"size,omitempty"`
	Mode  fs.FileMode `json:"mode,omitempty"`
	Mtime time.Time   `json:"mtime,omitzero"`
}

func infoOf(i fs.FileInfo) *info { return &info{i.Name(), i.Size(), i.Mode(), i.ModTime()} }

// fileInfo is an fs.FileInfo and an fs.DirEntry of an info.
type fileInfo struct{ info }

func (f fileInfo) Name() string               { return f.info.Name }
func (f fileInfo) Size() int64                { return f.info.Size }
func (f fileInfo) Mode() fs.FileMode          { return f.info.Mode }
func (f fileInfo) Type() fs.FileMode          { return f.info.Mode.Type() }
func (f fileInfo) ModTime() time.Time         { return f.info.Mtime }
func (f fileInfo) IsDir() bool                { return f.info.Mode.IsDir() }
func (f fileInfo) Sys() any                   { return nil }
func (f fileInfo) Info() (fs.FileInfo, error) { return f, nil }

// fault is an error. Of the errors that callers look for, it says which it is.
type fault struct {
	Text string `json:"text"`
	// Cause is the number of the answer, from 1, whose error this one wraps: the parent has it.
	Cause int `json:"cause,omitempty"`
	// Is are names in kinds.
	Is []string `json:"is,omitempty"`
	// Op, Path and Errno are those of an error of the parent's file system.
	Op    string        `json:"op,omitempty"`
	Path  string        `json:"path,omitempty"`
	Errno syscall.Errno `json:"errno,omitempty"`
}

// kinds are the errors of decoders that callers look for.
var kinds = map[string]error{
	"format": ingest.ErrFormat, "no input": ingest.ErrNoInput, "model": ingest.ErrModel, "part": ingest.ErrNoPart,
	"limit": budget.ErrLimit, "contained": ingest.ErrContained,
	"end": io.ErrUnexpectedEOF, "eof": io.EOF, "missing": fs.ErrNotExist, "permission": fs.ErrPermission,
}

// answered is an error that the parent has answered with.
type answered struct {
	number int
	err    error
}

func (e *answered) Error() string { return e.err.Error() }
func (e *answered) Unwrap() error { return e.err }

// faultOf describes an error.
func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Text: cut(err.Error())}
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			f.Is = append(f.Is, name)
		}
	}
	if a, ok := errors.AsType[*answered](err); ok {
		f.Cause = a.number
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		f.Op, f.Path = p.Op, p.Path
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		f.Errno = e
	}
	return f
}

// cut returns a text of limited length.
func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// local is the parent's error as the worker sees it.
func (f *fault) local(number int) error {
	err := error(&remote{text: f.Text, is: errorsOf(f.Is)})
	if f.Errno != 0 && f.Op != "" {
		err = &fs.PathError{Op: f.Op, Path: f.Path, Err: f.Errno}
	}
	return &answered{number, err}
}

// remote is a worker's error.
type remote struct {
	text string
	is   []error
}

func (e *remote) Error() string   { return e.text }
func (e *remote) Unwrap() []error { return e.is }

func errorsOf(names []string) []error {
	var out []error
	for _, name := range names {
		if kind := kinds[name]; kind != nil && len(out) < len(kinds) {
			out = append(out, kind)
		}
	}
	return out
}

// transient are the errors of reading a descriptor that the parent does not see. Whoever looks for errors that pass
// finds them.
var transient = []syscall.Errno{syscall.EIO, syscall.ENOMEM, syscall.ESTALE}

// received is a worker's error as the parent sees it. answers are the errors that the parent has answered with.
func (f *fault) received(answers []error) error {
	e := &remote{text: cut(f.Text), is: errorsOf(f.Is)}
	e.is = slices.DeleteFunc(e.is, func(err error) bool {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
	})
	if f.Cause > 0 && f.Cause <= len(answers) {
		e.is = append(e.is, answers[f.Cause-1])
		return e
	}
	for _, errno := range transient {
		if f.Errno == errno {
			e.is = append(e.is, errno)
		}
	}
	return e
}

// wireDetail is a description of an input: an [ingest.Detail].
type wireDetail struct {
	Kind string          `json:"kind"`
	Text string          `json:"text"`
	JSON json.RawMessage `json:"json"`
}

// detail is a description that a worker made.
type detail struct{ wire wireDetail }

// Kind returns the kind of data.
func (d *detail) Kind() string { return screen.OneLine(d.wire.Kind) }

// Text returns the readable form.
func (d *detail) Text() string { return d.wire.Text }

// MarshalJSON returns the fields.
func (d *detail) MarshalJSON() ([]byte, error) { return d.wire.JSON, nil }

// sampleHead is a sample without its values. Floats are sent as their bits, which JSON keeps.
type sampleHead struct {
	ID    *id    `json:"id"`
	Label int32  `json:"label"`
	Timed bool   `json:"timed,omitempty"`
	Sec   int64  `json:"sec,omitempty"`
	Nsec  int64  `json:"nsec,omitempty"`
	Kind  string `json:"kind"` // frame, cloud or grid
	// Dims are width and height, the number of points, or the cells and channels.
	Dims []int `json:"dims"`
	// Has are the optional parts: color or pose of a frame, intensity, rgb or pose of a cloud.
	Has []string `json:"has,omitempty"`
	// Fields are the names of the further columns of a cloud.
	Fields []string `json:"fields,omitempty"`
	// Numbers are the camera and pose of a frame, the pose of a cloud, or the cell and window of a grid.
	Numbers []uint64 `json:"numbers,omitempty"`
	Model   string   `json:"model,omitempty"` // of the lens
	// Noise is that of a frame.
	Noise ingest.Noise `json:"noise,omitempty"`
	// Orientation and Stored are those of a grid.
	Orientation ingest.Orientation `json:"orientation,omitempty"`
	Stored      ingest.Orientation `json:"stored,omitempty"`
}

func bitsOf(values ...float64) []uint64 {
	out := make([]uint64, len(values))
	for i, v := range values {
		out[i] = math.Float64bits(v)
	}
	return out
}

// columns of a sample are its arrays as bytes, in a fixed order.
type columns [][]byte

func bytesOf[T any](v []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
}

// headOf describes a sample and returns its columns.
func headOf(s *ingest.Sample) (*sampleHead, columns, error) {
	h := &sampleHead{ID: idOf(s.ID), Label: s.Label}
	if !s.Time.IsZero() {
		h.Timed, h.Sec, h.Nsec = true, s.Time.Unix(), int64(s.Time.Nanosecond())
	}
	switch d := s.Data.(type) {
	case *ingest.Frame:
		return h.frame(d)
	case *ingest.PointCloud:
		return h.cloud(d)
	case *ingest.Grid:
		h.Kind, h.Dims = "grid", []int{d.Dims[0], d.Dims[1], d.Dims[2], d.Channels}
		h.Numbers = bitsOf(d.Cell[0], d.Cell[1], d.Cell[2], float64(d.Window[0]), float64(d.Window[1]))
		h.Orientation, h.Stored = d.Orientation, d.Stored
		return h, columns{bytesOf(d.Values)}, nil
	}
	return nil, nil, fmt.Errorf("found data of type %T, want a frame, points or a grid", s.Data)
}

func (h *sampleHead) frame(d *ingest.Frame) (*sampleHead, columns, error) {
	h.Kind, h.Dims = "frame", []int{d.Width, d.Height}
	c := columns{bytesOf(d.Depth)}
	if d.Color != nil {
		h.Has = append(h.Has, "color")
		c = append(c, bytesOf(d.Color))
	}
	l := d.Cam.Lens
	h.Model, h.Noise = string(l.Model), d.Noise
	h.Numbers = bitsOf(d.Cam.Fx, d.Cam.Fy, d.Cam.Cx, d.Cam.Cy)
	h.Numbers = append(h.Numbers, bitsOf(l.K[:]...)...)
	h.Numbers = append(h.Numbers, bitsOf(l.P[:]...)...)
	h.pose(d.Pose)
	return h, c, nil
}

// pose adds a pose, which may be nil.
func (h *sampleHead) pose(p *ingest.Pose) {
	if p != nil {
		h.Has = append(h.Has, "pose")
		h.Numbers = append(h.Numbers, bitsOf(p.R[:]...)...)
		h.Numbers = append(h.Numbers, bitsOf(p.T[:]...)...)
	}
}

func (h *sampleHead) cloud(d *ingest.PointCloud) (*sampleHead, columns, error) {
	h.Kind, h.Dims = "cloud", []int{d.Len()}
	c := columns{bytesOf(d.X), bytesOf(d.Y), bytesOf(d.Z)}
	if d.Intensity != nil {
		h.Has = append(h.Has, "intensity")
		c = append(c, bytesOf(d.Intensity))
	}
	if d.R != nil {
		h.Has = append(h.Has, "rgb")
		c = append(c, d.R, d.G, d.B)
	}
	for _, f := range d.Fields {
		h.Fields = append(h.Fields, f.Name)
		c = append(c, bytesOf(f.Values))
	}
	h.pose(d.Pose)
	return h, c, nil
}

// product multiplies dimensions. It reports false if one is negative, or the product is more than limit.
func product(limit int, dims ...int) (int, bool) {
	n := uint64(1)
	for _, d := range dims {
		hi, lo := bits.Mul64(n, uint64(d))
		if d < 0 || hi != 0 || lo > uint64(limit) {
			return 0, false
		}
		n = lo
	}
	return int(n), true
}

// checked is what a sampleHead describes, before memory is allocated for it.
type checked struct {
	sample ingest.Sample
	h      *sampleHead
	n      int   // elements of each column
	size   int64 // bytes of all
	has    map[string]bool
}

// check examines what a worker claims.
func (h *sampleHead) check(o ingest.Options) (*checked, error) {
	if h == nil {
		return nil, errors.New("found no description of a sample")
	}
	rid, err := h.ID.record()
	if err != nil {
		return nil, err
	}
	c := &checked{h: h, has: map[string]bool{}, sample: ingest.Sample{ID: rid, Label: h.Label}}
	if h.Timed {
		if h.Nsec < 0 || h.Nsec >= 1e9 || h.Sec < -1<<40 || h.Sec > 1<<40 {
			return nil, fmt.Errorf("found a time of %d s and %d ns", h.Sec, h.Nsec)
		}
		c.sample.Time = time.Unix(h.Sec, h.Nsec).UTC()
	}
	for _, part := range h.Has {
		c.has[part] = true
	}
	var want int // dimensions
	var width int64
	limit := o.MaxPoints
	numbers := 0
	switch h.Kind {
	case "frame":
		want, width, limit, numbers = 2, 4, o.MaxPixels, frameNumbers
		if c.has["color"] {
			width += 4
		}
	case "cloud":
		want, width = 1, 24
		if c.has["intensity"] {
			width += 4
		}
		if c.has["rgb"] {
			width += 3
		}
		for _, name := range h.Fields {
			if !o.Keeps(name) {
				return nil, fmt.Errorf("found a field %.20q of a cloud, want one of %q", name, o.Fields)
			}
			width += 8
		}
	case "grid":
		want, width, limit, numbers = 4, 4, o.MaxCells, 5
	default:
		return nil, fmt.Errorf("found a sample of kind %.20q", h.Kind)
	}
	if c.has["pose"] && h.Kind != "grid" {
		numbers += poseNumbers
	}
	var ok bool
	if len(h.Dims) == want {
		c.n, ok = product(limit, h.Dims...)
	}
	switch ingest.LensModel(h.Model) {
	case ingest.Straight, ingest.BrownConrady, ingest.Fisheye:
	default:
		ok = false
	}
	for _, axes := range []ingest.Orientation{h.Orientation, h.Stored} {
		if _, _, err := axes.Axes(); err != nil && axes != "" {
			return nil, err
		}
	}
	if !ok || len(h.Numbers) != numbers || !h.Noise.Valid() {
		return nil, fmt.Errorf("found a %s of dimensions %.100v with %d numbers, limit %d values", h.Kind, h.Dims,
			len(h.Numbers), limit)
	}
	c.size = int64(c.n) * width
	return c, nil
}

// frameNumbers is how many numbers describe a camera.
const frameNumbers = 4 + len(ingest.Lens{}.K) + len(ingest.Lens{}.P)

// poseNumbers is how many numbers are a pose.
const poseNumbers = len(ingest.Pose{}.R) + len(ingest.Pose{}.T)

// poseOf returns the pose that numbers begin with, or nil if there is none.
func (c *checked) poseOf(numbers []uint64) *ingest.Pose {
	if !c.has["pose"] {
		return nil
	}
	p := new(ingest.Pose)
	float64sOf(float64sOf(numbers, p.R[:]), p.T[:])
	return p
}

func float64sOf(in []uint64, out []float64) []uint64 {
	for i := range out {
		out[i] = math.Float64frombits(in[i])
	}
	return in[len(out):]
}

// allocate makes the sample with empty arrays, and returns them as columns.
func (c *checked) allocate() columns {
	h := c.h
	switch h.Kind {
	case "frame":
		f := &ingest.Frame{Width: h.Dims[0], Height: h.Dims[1], Depth: make([]float32, c.n)}
		c.sample.Data = f
		out := columns{bytesOf(f.Depth)}
		if c.has["color"] {
			f.Color = make([]color.RGBA, c.n)
			out = append(out, bytesOf(f.Color))
		}
		var cam [4]float64
		rest := float64sOf(h.Numbers, cam[:])
		f.Cam = ingest.Intrinsics{Fx: cam[0], Fy: cam[1], Cx: cam[2], Cy: cam[3]}
		f.Cam.Lens.Model, f.Noise = ingest.LensModel(h.Model), h.Noise
		rest = float64sOf(rest, f.Cam.Lens.K[:])
		rest = float64sOf(rest, f.Cam.Lens.P[:])
		f.Pose = c.poseOf(rest)
		return out
	case "grid":
		g := &ingest.Grid{
			Dims: [3]int(h.Dims), Channels: h.Dims[3], Values: make([]float32, c.n),
			Orientation: h.Orientation, Stored: h.Stored,
		}
		c.sample.Data = g
		var window [2]float64
		float64sOf(float64sOf(h.Numbers, g.Cell[:]), window[:])
		g.Window = [2]float32{float32(window[0]), float32(window[1])}
		return columns{bytesOf(g.Values)}
	}
	p := &ingest.PointCloud{
		X: make([]float64, c.n), Y: make([]float64, c.n), Z: make([]float64, c.n), Pose: c.poseOf(h.Numbers),
	}
	c.sample.Data = p
	out := columns{bytesOf(p.X), bytesOf(p.Y), bytesOf(p.Z)}
	if c.has["intensity"] {
		p.Intensity = make([]float32, c.n)
		out = append(out, bytesOf(p.Intensity))
	}
	if c.has["rgb"] {
		p.R, p.G, p.B = make([]uint8, c.n), make([]uint8, c.n), make([]uint8, c.n)
		out = append(out, p.R, p.G, p.B)
	}
	for _, name := range h.Fields {
		values := make([]float64, c.n)
		p.Fields = append(p.Fields, ingest.Field{Name: name, Values: values})
		out = append(out, bytesOf(values))
	}
	return out
}
