package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
)

// Element types, from TensorProto.DataType of the schema.
const (
	typeFloat    = 1
	typeUint8    = 2
	typeInt8     = 3
	typeUint16   = 4
	typeInt16    = 5
	typeInt32    = 6
	typeInt64    = 7
	typeBool     = 9
	typeFloat16  = 10
	typeDouble   = 11
	typeUint32   = 12
	typeUint64   = 13
	typeBFloat16 = 16
)

// tensor is a constant: floats, or integers if ints is not nil.
type tensor struct {
	dims   []int
	elem   int // element type
	floats []float32
	ints   []int64
	// second is the constant for a batch of two, where that differs.
	second *tensor
}

// newTensor converts numbers to an element type.
func newTensor(dims []int, elem int, x []float64) *tensor {
	t := &tensor{dims: slices.Clone(dims), elem: elem}
	if isFloat(elem) {
		t.floats = make([]float32, len(x))
		for i, v := range x {
			t.floats[i] = float32(v)
		}
		return t
	}
	t.ints = make([]int64, len(x))
	for i, v := range x {
		switch {
		case elem == typeBool:
			t.ints[i] = int64(truth(v > 0))
		case v >= math.MaxInt64:
			t.ints[i] = math.MaxInt64
		case v <= math.MinInt64:
			t.ints[i] = math.MinInt64
		default:
			t.ints[i] = int64(v)
		}
	}
	return t
}

// exact returns the elements as float64; integers beyond 2^53 are rounded.
func (t *tensor) exact() []float64 {
	out := make([]float64, max(len(t.floats), len(t.ints)))
	for i := range out {
		if t.ints != nil {
			out[i] = float64(t.ints[i])
		} else {
			out[i] = float64(t.floats[i])
		}
	}
	return out
}

// numbers returns the elements as float32.
func (t *tensor) numbers() []float32 {
	if t.ints == nil {
		return t.floats
	}
	out := make([]float32, len(t.ints))
	for i, v := range t.ints {
		out[i] = float32(v)
	}
	return out
}

// repeats returns the axis along which the constant for a batch of two is that for one, twice; noBatch if there is
// no such axis.
func (t *tensor) repeats() int {
	s := t.second
	along := noBatch
	for a, d := range t.dims {
		if len(s.dims) != len(t.dims) {
			return noBatch
		}
		if s.dims[a] != d {
			if along != noBatch || s.dims[a] != 2*d {
				return noBatch
			}
			along = a
		}
	}
	if along == noBatch {
		return noBatch
	}
	one, two, run := t.exact(), s.exact(), elements(t.dims[along:])
	for i, v := range two {
		if w := one[i/(2*run)*run+i%run]; v != w && (v == v || w == w) {
			return noBatch
		}
	}
	return along
}

func isFloat(elem int) bool {
	return elem == typeFloat || elem == typeFloat16 || elem == typeDouble || elem == typeBFloat16
}

// typeNames are the names of the element types that are read.
var typeNames = map[int]string{
	typeFloat: "float", typeUint8: "uint8", typeInt8: "int8", typeUint16: "uint16", typeInt16: "int16",
	typeInt32: "int32", typeInt64: "int64", typeBool: "bool", typeFloat16: "float16", typeDouble: "double",
	typeUint32: "uint32", typeUint64: "uint64", typeBFloat16: "bfloat16",
}

// limits returns the smallest and the largest number of an integer type of at most 16 bits.
func limits(elem int) (low, high float64, ok bool) {
	switch elem {
	case typeUint8:
		return 0, math.MaxUint8, true
	case typeInt8:
		return math.MinInt8, math.MaxInt8, true
	case typeUint16:
		return 0, math.MaxUint16, true
	case typeInt16:
		return math.MinInt16, math.MaxInt16, true
	}
	return 0, 0, false
}

// wrapped returns f followed by what an integer type makes of numbers out of its range. Types of more than 16 bits
// are not reduced: computed values are float32, which holds integers up to 2^24.
func wrapped(elem int, f func(a, b, c float64) float64) func(a, b, c float64) float64 {
	low, high, ok := limits(elem)
	if !ok {
		return f
	}
	size := high - low + 1
	return func(a, b, c float64) float64 {
		v := f(a, b, c)
		return v - size*math.Floor((v-low)/size)
	}
}

// maxAxes limits the axes of a tensor.
const maxAxes = 8

// dimensions checks the sizes in a file and multiplies them.
func dimensions(sizes []int64) (dims []int, n int, err error) {
	if len(sizes) > maxAxes {
		return nil, 0, fmt.Errorf("found %d axes, want at most %d", len(sizes), maxAxes)
	}
	n = 1
	for _, d := range sizes {
		if d < 0 || d > math.MaxInt32 || d > 0 && n > math.MaxInt32/int(d) {
			return nil, 0, fmt.Errorf(
				"found shape %v, want sizes of at least 0 and at most %d elements",
				sizes,
				math.MaxInt32,
			)
		}
		dims, n = append(dims, int(d)), n*int(d)
	}
	return dims, n, nil
}

// widths are the sizes of the element types in bytes.
var widths = map[int]int{
	typeFloat: 4, typeUint8: 1, typeInt8: 1, typeUint16: 2, typeInt16: 2, typeInt32: 4, typeInt64: 8, typeBool: 1,
	typeFloat16: 2, typeDouble: 8, typeUint32: 4, typeUint64: 8, typeBFloat16: 2,
}

// readTensor converts a tensor of the file: floats of all sizes to float32, integers and bools to int64.
func (i *importer) readTensor(p *onnxpb.Tensor) (*tensor, error) {
	if p == nil {
		return nil, errors.New("a tensor is missing")
	}
	dims, n, err := dimensions(p.Dims)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", p.GetName(), err)
	}
	t := &tensor{dims: dims, elem: int(p.GetDataType())}
	width, ok := widths[t.elem]
	if !ok {
		return nil, fmt.Errorf("tensor %q: found element type %d, want floats of 16 to 64 bits, integers or bools",
			p.GetName(), p.GetDataType())
	}
	raw, have := p.RawData, 0
	if p.GetDataLocation() == onnxpb.Tensor_EXTERNAL {
		if raw, err = i.external.read(p, n*width); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", p.GetName(), err)
		}
	}
	switch t.elem {
	case typeFloat:
		have = len(p.FloatData)
	case typeDouble:
		have = len(p.DoubleData)
	case typeInt64:
		have = len(p.Int64Data)
	case typeUint32, typeUint64:
		have = len(p.Uint64Data)
	default:
		have = len(p.Int32Data)
	}
	if raw != nil {
		if have = len(raw) / width; len(raw)%width != 0 {
			have = -1
		}
	}
	if have != n {
		return nil, fmt.Errorf("tensor %q: found %d bytes of raw data and %d numbers, want %d numbers for shape %v",
			p.GetName(), len(raw), max(have, 0), n, dims)
	}
	i.stored += n
	if isFloat(t.elem) {
		t.floats = make([]float32, n)
		for i := range t.floats {
			t.floats[i] = readFloat(p, raw, i)
		}
		return t, nil
	}
	t.ints = make([]int64, n)
	for i := range t.ints {
		if t.ints[i] = readInteger(p, raw, i, width); t.elem == typeUint64 && t.ints[i] < 0 {
			t.ints[i] = math.MaxInt64
		}
	}
	return t, nil
}

// readInteger returns element i of an integer tensor.
func readInteger(p *onnxpb.Tensor, raw []byte, i, width int) int64 {
	elem := int(p.GetDataType())
	if raw == nil {
		switch elem {
		case typeInt64:
			return p.Int64Data[i]
		case typeUint32, typeUint64:
			return int64(p.Uint64Data[i])
		}
		return int64(p.Int32Data[i])
	}
	var bits uint64
	for k := range width {
		bits |= uint64(raw[width*i+k]) << (8 * k)
	}
	switch elem {
	case typeInt8, typeInt16, typeInt32, typeInt64:
		unused := 64 - 8*width
		return int64(bits<<unused) >> unused
	}
	return int64(bits)
}

// readFloat returns element i of a float tensor.
func readFloat(p *onnxpb.Tensor, raw []byte, i int) float32 {
	switch p.GetDataType() {
	case typeDouble:
		if raw != nil {
			return float32(math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])))
		}
		return float32(p.DoubleData[i])
	case typeFloat16, typeBFloat16:
		var bits uint16
		if raw != nil {
			bits = binary.LittleEndian.Uint16(raw[2*i:])
		} else {
			bits = uint16(p.Int32Data[i])
		}
		if p.GetDataType() == typeBFloat16 {
			return math.Float32frombits(uint32(bits) << 16)
		}
		return half(bits)
	}
	if raw != nil {
		return math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return p.FloatData[i]
}

// half converts an IEEE 754 binary16.
func half(bits uint16) float32 {
	sign, exponent, fraction := float64(1), int(bits>>10&31), float64(bits&1023)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return float32(sign * math.Ldexp(fraction, -24))
	case 31:
		if fraction != 0 {
			return float32(math.NaN())
		}
		return float32(math.Inf(int(sign)))
	}
	return float32(sign * math.Ldexp(1024+fraction, exponent-25))
}

// floatTensor returns a float tensor for the file.
func floatTensor(name string, values []float32, dims ...int) *onnxpb.Tensor {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return &onnxpb.Tensor{Name: &name, DataType: proto.Int32(typeFloat), Dims: whole(dims), RawData: raw}
}

func intTensor(name string, values []int) *onnxpb.Tensor {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return &onnxpb.Tensor{
		Name:     &name,
		DataType: proto.Int32(typeInt64),
		Dims:     []int64{int64(len(values))},
		RawData:  raw,
	}
}

func whole(values []int) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = int64(v)
	}
	return out
}

// permute returns x of shape dims with its axes in another order: axis i of the result is axis order[i] of x.
func permute(x []float32, dims, order []int) []float32 {
	out := make([]float32, len(x))
	steps, sizes := make([]int, len(dims)), make([]int, len(dims))
	step := 1
	for a, size := range slices.Backward(dims) {
		for i, o := range order {
			if o == a {
				steps[i], sizes[i] = step, size
			}
		}
		step *= size
	}
	at := make([]int, len(dims))
	from := 0
	for i := range out {
		out[i] = x[from]
		for a := len(at) - 1; a >= 0; a-- {
			at[a]++
			from += steps[a]
			if at[a] < sizes[a] {
				break
			}
			from -= steps[a] * sizes[a]
			at[a] = 0
		}
	}
	return out
}
