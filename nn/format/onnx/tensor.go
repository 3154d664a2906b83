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
	typeInt32    = 6
	typeInt64    = 7
	typeFloat16  = 10
	typeDouble   = 11
	typeBFloat16 = 16
)

// tensor is a constant: floats, or integers if ints is not nil.
type tensor struct {
	dims   []int
	floats []float32
	ints   []int64
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
			return nil, 0, fmt.Errorf("found shape %v, want sizes of at least 0 and at most %d elements", sizes, math.MaxInt32)
		}
		dims, n = append(dims, int(d)), n*int(d)
	}
	return dims, n, nil
}

// readTensor converts a tensor of the file; float16, bfloat16 and double become float32, 32-bit whole numbers
// 64-bit ones.
func readTensor(p *onnxpb.Tensor) (*tensor, error) {
	if p == nil {
		return nil, errors.New("a tensor is missing")
	}
	if p.GetDataLocation() == onnxpb.Tensor_EXTERNAL {
		return nil, fmt.Errorf("tensor %q: its data is in another file; save the model with embedded data "+
			"(torch.onnx.export(..., external_data=False))", p.GetName())
	}
	dims, n, err := dimensions(p.Dims)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", p.GetName(), err)
	}
	t := &tensor{dims: dims}
	raw, width := p.RawData, 0
	have := 0
	switch p.GetDataType() {
	case typeFloat:
		width, have = 4, len(p.FloatData)
	case typeDouble:
		width, have = 8, len(p.DoubleData)
	case typeFloat16, typeBFloat16:
		width, have = 2, len(p.Int32Data)
	case typeInt64:
		width, have = 8, len(p.Int64Data)
	case typeInt32:
		width, have = 4, len(p.Int32Data)
	default:
		return nil, fmt.Errorf("tensor %q: found element type %d, want float (1), double (11), float16 (10), "+
			"bfloat16 (16), int32 (6) or int64 (7)", p.GetName(), p.GetDataType())
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
	switch p.GetDataType() {
	case typeInt64, typeInt32:
		t.ints = make([]int64, n)
		for i := range t.ints {
			switch {
			case raw != nil && width == 8:
				t.ints[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
			case raw != nil:
				t.ints[i] = int64(int32(binary.LittleEndian.Uint32(raw[4*i:])))
			case width == 8:
				t.ints[i] = p.Int64Data[i]
			default:
				t.ints[i] = int64(p.Int32Data[i])
			}
		}
	default:
		t.floats = make([]float32, n)
		for i := range t.floats {
			t.floats[i] = readFloat(p, raw, i)
		}
	}
	return t, nil
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
	return &onnxpb.Tensor{Name: &name, DataType: proto.Int32(typeInt64), Dims: []int64{int64(len(values))}, RawData: raw}
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
