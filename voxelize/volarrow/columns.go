package volarrow

import (
	"math/bits"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// column identifies a known column of the schema.
type column int

// The columns, in the order in which they are written. Version 2 writes those from colObject on only if a volume
// needs them.
const (
	colVoxels column = iota
	colSeq
	colTime
	colLabel
	colOrigin
	colEdge
	colPoints
	colOutside
	colObject
	colView
	colBox
	colPose
	colTrack
	colCell
	colDistance
	colVelocity
	numColumns
)

// Values per row of the list columns.
const (
	cellSize     = 3
	originSize   = 3
	boxSize      = 7
	poseSize     = 12
	distanceSize = 5
	velocitySize = 3
)

// spec describes the storage of each column. The content determines the type of the voxels.
var spec = [numColumns]struct {
	name string
	// typ is the type in the notation of typeName, size the bytes per row.
	typ  string
	size int64
	// list is the number of values per row of a list column, else 0.
	list     int64
	required bool
}{
	colVoxels:  {name: "voxels", required: true},
	colSeq:     {name: "seq", typ: "uint64", size: 8, required: true},
	colTime:    {name: "time", typ: "timestamp[ns, UTC]", size: 8},
	colLabel:   {name: "label", typ: "int32", size: 4},
	colOrigin:  {name: "origin", typ: "fixed_size_list<float64>[3]", size: 8 * originSize, list: originSize},
	colEdge:    {name: "edge", typ: "float32", size: 4},
	colPoints:  {name: "points", typ: "uint32", size: 4},
	colOutside: {name: "outside", typ: "uint32", size: 4},
	colObject:  {name: "object", typ: "uint32", size: 4},
	colView:    {name: "view", typ: "uint32", size: 4},
	colBox:     {name: "box", typ: "fixed_size_list<float64>[7]", size: 8 * boxSize, list: boxSize},
	colPose:    {name: "pose", typ: "fixed_size_list<float64>[12]", size: 8 * poseSize, list: poseSize},
	colTrack:   {name: "track", typ: "uint64", size: 8},
	colCell:    {name: "cell", typ: "fixed_size_list<float64>[3]", size: 8 * cellSize, list: cellSize},
	colDistance: {
		name: "distance", typ: "fixed_size_list<float64>[5]", size: 8 * distanceSize, list: distanceSize,
	},
	colVelocity: {
		name: "velocity", typ: "fixed_size_list<float64>[3]", size: 8 * velocitySize, list: velocitySize,
	},
}

// columnSet is a set of columns, as bits.
type columnSet uint

const (
	// version1Columns are the columns of version 1, which version 2 always writes too.
	version1Columns columnSet = 1<<colObject - 1
	allColumns      columnSet = 1<<numColumns - 1
	// nullable are the columns that our writer may write nulls to.
	nullable columnSet = 1<<colTime | 1<<colBox | 1<<colPose | 1<<colDistance | 1<<colVelocity
)

func (s columnSet) has(c column) bool { return s>>c&1 == 1 }

// first returns the name of the first column of a non-empty set.
func (s columnSet) first() string { return spec[bits.TrailingZeros(uint(s))].name }

// needed returns the columns that volumes need to be stored without loss.
func needed(vs []voxelize.Volume) columnSet {
	s := version1Columns
	need := func(c column, yes bool) {
		if yes {
			s |= 1 << c
		}
	}
	for i := range vs {
		v := &vs[i]
		need(colObject, v.Object != 0)
		need(colView, v.View != 0)
		need(colBox, v.Box != nil)
		need(colPose, v.Pose != nil)
		need(colTrack, v.Track != 0)
		need(colCell, v.Cell != [3]float64{})
		need(colDistance, v.Distance != nil)
		need(colVelocity, v.Velocity != nil)
	}
	return s
}

// field returns the Arrow field of a column as we write it.
func (l *layout) field(c column) arrow.Field {
	types := [numColumns]arrow.DataType{
		colCell:     arrow.FixedSizeListOf(cellSize, arrow.PrimitiveTypes.Float64),
		colVoxels:   l.tensor(),
		colSeq:      arrow.PrimitiveTypes.Uint64,
		colTime:     &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"},
		colLabel:    arrow.PrimitiveTypes.Int32,
		colOrigin:   arrow.FixedSizeListOf(originSize, arrow.PrimitiveTypes.Float64),
		colEdge:     arrow.PrimitiveTypes.Float32,
		colPoints:   arrow.PrimitiveTypes.Uint32,
		colOutside:  arrow.PrimitiveTypes.Uint32,
		colObject:   arrow.PrimitiveTypes.Uint32,
		colView:     arrow.PrimitiveTypes.Uint32,
		colBox:      arrow.FixedSizeListOf(boxSize, arrow.PrimitiveTypes.Float64),
		colPose:     arrow.FixedSizeListOf(poseSize, arrow.PrimitiveTypes.Float64),
		colTrack:    arrow.PrimitiveTypes.Uint64,
		colDistance: arrow.FixedSizeListOf(distanceSize, arrow.PrimitiveTypes.Float64),
		colVelocity: arrow.FixedSizeListOf(velocitySize, arrow.PrimitiveTypes.Float64),
	}
	return arrow.Field{Name: spec[c].name, Type: types[c], Nullable: nullable.has(c)}
}

// tensor returns the Arrow type of a volume's voxels.
func (l *layout) tensor() arrow.DataType {
	elem := arrow.PrimitiveTypes.Uint8
	if l.content.Float {
		elem = arrow.PrimitiveTypes.Float32
	}
	shape, names := []int64{int64(l.dims[0]), int64(l.dims[1]), int64(l.dims[2])}, []string{"D", "H", "W"}
	if l.content.Channels > 1 {
		shape, names = append(shape, int64(l.content.Channels)), append(names, "C")
	}
	return NewFixedShapeTensor(elem, shape, names)
}

// data returns a column of the volumes, other than their voxels.
func (c column) data(t arrow.DataType, vs []voxelize.Volume) arrow.ArrayData {
	switch c {
	case colSeq:
		return numbers(t, vs, func(v *voxelize.Volume) (uint64, bool) { return v.Seq, true })
	case colTime:
		return numbers(t, vs, func(v *voxelize.Volume) (ns int64, known bool) {
			if v.Time.IsZero() {
				return 0, false
			}
			return v.Time.UnixNano(), true
		})
	case colLabel:
		return numbers(t, vs, func(v *voxelize.Volume) (int32, bool) { return v.Label, true })
	case colOrigin:
		return lists(t, vs, originSize, putOrigin)
	case colEdge:
		return numbers(t, vs, func(v *voxelize.Volume) (float32, bool) { return v.Edge, true })
	case colPoints:
		return numbers(t, vs, func(v *voxelize.Volume) (uint32, bool) { return v.Points, true })
	case colOutside:
		return numbers(t, vs, func(v *voxelize.Volume) (uint32, bool) { return v.Outside, true })
	case colObject:
		return numbers(t, vs, func(v *voxelize.Volume) (uint32, bool) { return v.Object, true })
	case colView:
		return numbers(t, vs, func(v *voxelize.Volume) (uint32, bool) { return v.View, true })
	case colBox:
		return lists(t, vs, boxSize, putBox)
	case colPose:
		return lists(t, vs, poseSize, putPose)
	case colTrack:
		return numbers(t, vs, func(v *voxelize.Volume) (uint64, bool) { return v.Track, true })
	case colCell:
		return lists(t, vs, cellSize, putCell)
	case colDistance:
		return lists(t, vs, distanceSize, putDistance)
	case colVelocity:
		return lists(t, vs, velocitySize, putVelocity)
	}
	panic("volarrow: voxels are encoded by layout.voxels")
}

// numbers returns a column of one number per volume, null where of returns false.
func numbers[T any](t arrow.DataType, vs []voxelize.Volume, of func(*voxelize.Volume) (T, bool)) arrow.ArrayData {
	values, known := make([]T, len(vs)), newBitmap(len(vs))
	for i := range vs {
		x, ok := of(&vs[i])
		values[i] = x
		known.set(i, ok)
	}
	return array.NewData(t, len(vs), []*memory.Buffer{known.buffer(), buffer(values)}, nil, known.nulls, 0)
}

// lists returns a column of size numbers per volume. put writes the numbers of a volume, or returns false for null.
func lists(t arrow.DataType, vs []voxelize.Volume, size int,
	put func([]float64, *voxelize.Volume) bool,
) arrow.ArrayData {
	values, known := make([]float64, size*len(vs)), newBitmap(len(vs))
	for i := range vs {
		known.set(i, put(values[size*i:][:size], &vs[i]))
	}
	return list(t, len(vs), known, primitive(arrow.PrimitiveTypes.Float64, values))
}

// bitmap records which rows are not null.
type bitmap struct {
	bits  []byte
	nulls int
}

func newBitmap(n int) *bitmap { return &bitmap{bits: make([]byte, (n+7)/8)} }

func (b *bitmap) set(i int, known bool) {
	if known {
		b.bits[i/8] |= 1 << (i % 8)
	} else {
		b.nulls++
	}
}

// buffer returns nil if nothing is null.
func (b *bitmap) buffer() *memory.Buffer {
	if b.nulls == 0 {
		return nil
	}
	return buffer(b.bits)
}

// primitive returns a column without nulls that shares the slice's memory.
func primitive[T any](t arrow.DataType, values []T) arrow.ArrayData {
	return array.NewData(t, len(values), []*memory.Buffer{nil, buffer(values)}, nil, 0, 0)
}

// list returns a fixed-size list or tensor of n rows over child, and takes ownership of child.
func list(t arrow.DataType, n int, known *bitmap, child arrow.ArrayData) arrow.ArrayData {
	defer child.Release()
	return array.NewData(t, n, []*memory.Buffer{known.buffer()}, []arrow.ArrayData{child}, known.nulls, 0)
}

// buffer returns a slice's memory as an Arrow buffer, or nil for an empty slice. Values are little-endian on every
// platform that we build for.
func buffer[T any](v []T) *memory.Buffer {
	if len(v) == 0 {
		return nil
	}
	return memory.NewBufferBytes(unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0]))))
}

// The following functions write a volume's values for a column, or return false for null, and convert them back.
func putOrigin(to []float64, v *voxelize.Volume) bool {
	copy(to, v.Origin[:])
	return true
}

func putCell(to []float64, v *voxelize.Volume) bool {
	copy(to, v.Cell[:])
	return true
}

func putBox(to []float64, v *voxelize.Volume) bool {
	b := v.Box
	if b == nil {
		return false
	}
	copy(to, b.Center[:])
	for i, x := range b.Size {
		to[3+i] = float64(x)
	}
	to[6] = float64(b.Yaw)
	return true
}

func boxOf(x []float64) record.Box {
	return record.Box{
		Center: [3]float64(x), Size: [3]float32{float32(x[3]), float32(x[4]), float32(x[5])}, Yaw: float32(x[6]),
	}
}

// putPose writes the rows of [R | T].
func putPose(to []float64, v *voxelize.Volume) bool {
	p := v.Pose
	if p == nil {
		return false
	}
	for i, t := range p.T {
		copy(to[4*i:], p.R[3*i:3*i+3])
		to[4*i+3] = t
	}
	return true
}

func poseOf(x []float64) (p ingest.Pose) {
	for i := range p.T {
		copy(p.R[3*i:3*i+3], x[4*i:])
		p.T[i] = x[4*i+3]
	}
	return p
}

func putDistance(to []float64, v *voxelize.Volume) bool {
	if v.Distance == nil {
		return false
	}
	x := v.Distance.Values()
	copy(to, x[:])
	return true
}

func distanceOf(x []float64) record.Distance { return record.DistanceOf([distanceSize]float64(x)) }

func putVelocity(to []float64, v *voxelize.Volume) bool {
	if v.Velocity == nil {
		return false
	}
	for i, x := range v.Velocity {
		to[i] = float64(x)
	}
	return true
}

func velocityOf(x []float64) [3]float32 {
	return [3]float32{float32(x[0]), float32(x[1]), float32(x[2])}
}
