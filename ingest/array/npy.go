// Package array reads and writes NumPy files: single arrays (.npy) and archives of arrays (.npz) that hold grids,
// their labels, or points.
package array

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// The layout of NumPy's format, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html:
//
//	\x93NUMPY, major, minor, header length (uint16, uint32 from version 2, little-endian), header: a Python dict with descr,
//	fortran_order and shape, then the values
const npyMagic = "\x93NUMPY"

const (
	maxNpyHeader = 1 << 20
	maxDims      = 8
	maxFields    = 256
	maxRecord    = 1 << 20 // bytes
)

// header describes the array that follows it in a file.
type header struct {
	fields  []field // a single one without a name for a plain array
	record  int     // bytes of an element
	length  int     // bytes of the header itself
	fortran bool
	shape   []int
}

type field struct {
	name   string
	t      columns.Type
	half   bool // float16, which Type does not have
	big    bool
	offset int
	count  int // values in it: more than one for an array
	// text is U for UTF-32 and S for bytes of text, of which there are size; opaque bytes have V.
	text  byte
	bytes int
}

// plain reports whether the array holds single values rather than records.
func (h *header) plain() bool { return len(h.fields) == 1 && h.fields[0].name == "" }

// numbers reports whether the array holds numbers rather than records or text.
func (h *header) numbers() bool { return h.plain() && h.fields[0].text == 0 }

func (h *header) typeName() string {
	if !h.plain() {
		return "record"
	}
	f := h.fields[0]
	switch {
	case f.half:
		return "float16"
	case f.text != 0:
		return "text"
	}
	return [...]string{"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"}[f.t]
}

func readHeader(r io.Reader) (*header, error) {
	var pre [8]byte
	if _, err := io.ReadFull(r, pre[:]); err != nil {
		return nil, fmt.Errorf("npy header: %w", noEOF(err))
	}
	if string(pre[:6]) != npyMagic || pre[6] < 1 || pre[6] > 3 {
		return nil, fmt.Errorf("npy header: found %q, want %q and version 1, 2 or 3", pre[:], npyMagic)
	}
	size := make([]byte, 2)
	if pre[6] > 1 {
		size = make([]byte, 4)
	}
	if _, err := io.ReadFull(r, size); err != nil {
		return nil, fmt.Errorf("npy header: %w", noEOF(err))
	}
	n := uint64(binary.LittleEndian.Uint16(size))
	if pre[6] > 1 {
		n = uint64(binary.LittleEndian.Uint32(size))
	}
	if n > maxNpyHeader {
		return nil, fmt.Errorf("npy header: found %d bytes, limit %d", n, maxNpyHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("npy header: %w", noEOF(err))
	}
	h, err := parseHeader(string(text))
	if err != nil {
		return nil, err
	}
	h.length = len(pre) + len(size) + len(text)
	return h, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var (
	descrScalar = regexp.MustCompile(`'descr'\s*:\s*'([^']{1,8})'`)
	descrFields = regexp.MustCompile(`'descr'\s*:\s*\[([^\]]*)\]`)
	descrField  = regexp.MustCompile(`^\s*,?\s*\('([^']{0,64})'\s*,\s*'([^']{1,8})'\s*(?:,\s*\(([0-9,\s]{1,32})\)\s*)?\)\s*,?\s*`)
	orderFlag   = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	shapeTuple  = regexp.MustCompile(`'shape'\s*:\s*\(([0-9,\sL]*)\)`)
)

func parseHeader(text string) (*header, error) {
	h := &header{}
	if m := descrScalar.FindStringSubmatch(text); m != nil {
		f, err := parseType(m[1])
		if err != nil {
			return nil, err
		}
		h.fields, h.record = []field{f}, f.size()
	} else if m := descrFields.FindStringSubmatch(text); m != nil {
		for rest := m[1]; strings.TrimSpace(rest) != ""; {
			p := descrField.FindStringSubmatch(rest)
			if p == nil || len(h.fields) == maxFields {
				return nil, fmt.Errorf("npy header: found fields %.60q, want ('name', 'type'), at most %d", rest, maxFields)
			}
			f, err := parseType(p[2])
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", p[1], err)
			}
			for n := range strings.FieldsSeq(strings.ReplaceAll(p[3], ",", " ")) {
				d, err := strconv.Atoi(n)
				if err != nil || d < 1 || d > maxRecord/f.count {
					return nil, fmt.Errorf("npy header: field %q: found shape (%s), want at most %d values", p[1],
						p[3], maxRecord)
				}
				f.count *= d
			}
			f.name, f.offset = p[1], h.record
			h.fields = append(h.fields, f)
			if h.record += f.size(); h.record > maxRecord {
				return nil, fmt.Errorf("npy header: found records of more than %d bytes", maxRecord)
			}
			rest = rest[len(p[0]):]
		}
	}
	order, shape := orderFlag.FindStringSubmatch(text), shapeTuple.FindStringSubmatch(text)
	if len(h.fields) == 0 || order == nil || shape == nil {
		return nil, fmt.Errorf("npy header: found %.120q, want descr, fortran_order and shape", text)
	}
	h.fortran = order[1] == "True"
	for _, s := range strings.FieldsFunc(shape[1], func(r rune) bool { return r == ',' || r == ' ' || r == 'L' }) {
		n, err := strconv.Atoi(s)
		if err != nil || len(h.shape) == maxDims {
			return nil, fmt.Errorf("npy header: found shape (%.60s), want at most %d numbers", shape[1], maxDims)
		}
		h.shape = append(h.shape, n)
	}
	if _, err := h.count(); err != nil {
		return nil, err
	}
	return h, nil
}

// count returns the number of elements, whose size in bytes fits an int64.
func (h *header) count() (int, error) {
	n := 1
	for _, d := range h.shape {
		if d > 0 && n > math.MaxInt64/16/max(h.record, 1)/d {
			return 0, fmt.Errorf("npy header: found shape %v with elements of %d bytes, larger than any file", h.shape, h.record)
		}
		n *= d
	}
	return n, nil
}

// errNotNumbers means that an array is well-formed but holds no numbers, text or records.
var errNotNumbers = errors.New("want bool, an integer or a float of 2, 4 or 8 bytes")

func parseType(s string) (field, error) {
	f := field{big: s[0] == '>', count: 1}
	kinds := map[string]columns.Type{
		"b1": columns.Uint8, "i1": columns.Int8, "u1": columns.Uint8, "i2": columns.Int16, "u2": columns.Uint16,
		"i4": columns.Int32, "u4": columns.Uint32,
		"i8": columns.Int64, "u8": columns.Uint64, "f4": columns.Float32, "f8": columns.Float64,
	}
	if strings.ContainsRune("<>|=", rune(s[0])) {
		s = s[1:]
	}
	if s == "f2" {
		f.t, f.half = columns.Uint16, true
		return f, nil
	}
	if t, ok := kinds[s]; ok {
		f.t = t
		return f, nil
	}
	if s != "" && strings.ContainsRune("USV", rune(s[0])) {
		if n, err := strconv.Atoi(s[1:]); err == nil && n >= 0 && n <= maxRecord {
			f.t, f.text, f.bytes = columns.Uint8, s[0], n
			if f.text == 'U' {
				f.bytes *= 4
			}
			return f, nil
		}
	}
	what := ""
	if s != "" {
		what = map[byte]string{'O': " (Python objects)", 'c': " (complex numbers)", 'M': " (dates)", 'm': " (durations)"}[s[0]]
	}
	return f, fmt.Errorf("npy header: found type %q%s, %w", s, what, errNotNumbers)
}

func (f field) size() int {
	if f.text != 0 {
		return f.count * f.bytes
	}
	return f.count * f.t.Size()
}

// string decodes a text.
func (f field) string(b []byte) string {
	if f.text == 'S' {
		b, _, _ = bytes.Cut(b, []byte{0})
		return string(b)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if f.big {
		order = binary.BigEndian
	}
	var out []rune
	for ; len(b) >= 4; b = b[4:] {
		out = append(out, rune(order.Uint32(b)))
	}
	return strings.TrimRight(string(out), "\x00")
}

// value decodes one number.
func (f field) value(b []byte) float64 {
	c := columns.Column{Type: f.t, Big: f.big, Data: b}
	v := c.At(0)
	if f.half {
		return float64(half(uint16(v)))
	}
	return v
}

// half converts an IEEE 754 binary16 to float32: 1 sign, 5 exponent (bias 15) and 10 fraction bits.
func half(v uint16) float32 {
	sign, exp, frac := uint32(v>>15)<<31, uint32(v>>10&31), uint32(v&1023)
	switch exp {
	case 0: // zero and subnormal: frac * 2^-24
		f := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// values reads the numbers of a plain array from a stream, one block at a time.
type values struct {
	r   *bufio.Reader
	f   field
	buf []byte
}

func newValues(r io.Reader, f field) *values {
	return &values{r: bufio.NewReaderSize(r, 256<<10), f: f, buf: make([]byte, 64<<10)}
}

// fill reads exactly len(dst) numbers.
func (v *values) fill(dst []float32) error {
	size := v.f.size()
	for len(dst) > 0 {
		n := min(len(dst), len(v.buf)/size)
		if _, err := io.ReadFull(v.r, v.buf[:n*size]); err != nil {
			return noEOF(err)
		}
		if v.f.half {
			for i := range dst[:n] {
				dst[i] = float32(v.f.value(v.buf[i*size:]))
			}
		} else {
			c := columns.Column{Type: v.f.t, Big: v.f.big, Stride: size, Data: v.buf}
			c.Float32s(dst[:n], 0)
		}
		dst = dst[n:]
	}
	return nil
}
