package volarrow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Version is the schema's version; a reader refuses any other.
const Version = "1"

// Keys of the schema's metadata.
const (
	KeyVersion = "voxelstream.version"
	KeyPalette = "voxelstream.palette"
	KeyDims    = "voxelstream.dims"
)

// layout is one schema, with the bytes that our writer puts in front of its records.
type layout struct {
	dims    [3]int
	palette string
	schema  *arrow.Schema
	// frame is the schema message of the stream, continuation marker included.
	frame []byte
}

func (l *layout) cells() int { return l.dims[0] * l.dims[1] * l.dims[2] }

// schemaOf is the schema of a message of volumes of dims (depth, height, width) in the given palette.
func schemaOf(dims [3]int, palette string) *arrow.Schema {
	shape := []int64{int64(dims[0]), int64(dims[1]), int64(dims[2])}
	metadata := arrow.NewMetadata(
		[]string{KeyVersion, KeyPalette, KeyDims},
		[]string{Version, palette, fmt.Sprintf("%d,%d,%d", dims[0], dims[1], dims[2])},
	)
	return arrow.NewSchema([]arrow.Field{
		{Name: "voxels", Type: NewFixedShapeTensor(arrow.PrimitiveTypes.Uint8, shape, []string{"D", "H", "W"})},
		{Name: "seq", Type: arrow.PrimitiveTypes.Uint64},
		{Name: "time", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}, Nullable: true},
		{Name: "label", Type: arrow.PrimitiveTypes.Int32},
		{Name: "origin", Type: arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float64)},
		{Name: "edge", Type: arrow.PrimitiveTypes.Float32},
		{Name: "points", Type: arrow.PrimitiveTypes.Uint32},
		{Name: "outside", Type: arrow.PrimitiveTypes.Uint32},
	}, &metadata)
}

// layouts caches the schemas in use: a process sees one or two. It is bounded because what it holds may be named by messages.
var layouts struct {
	sync.RWMutex
	known []*layout
}

const maxLayouts = 32

// known returns the first layout in use that is wanted, or nil.
func known(wanted func(*layout) bool) *layout {
	layouts.RLock()
	defer layouts.RUnlock()
	if i := slices.IndexFunc(layouts.known, wanted); i >= 0 {
		return layouts.known[i]
	}
	return nil
}

// remember keeps a layout for known.
func remember(l *layout) {
	layouts.Lock()
	defer layouts.Unlock()
	if len(layouts.known) < maxLayouts {
		layouts.known = append(layouts.known, l)
	}
}

// newLayout makes the layout of volumes of dims in palette, both of which are checked.
func newLayout(dims [3]int, palette string) (*layout, error) {
	cells := 1
	for _, n := range dims {
		if n < 1 || n > voxelize.MaxCells/cells {
			return nil, fmt.Errorf("volume of %v cells: want 1 or more a side and at most %d in all", dims, voxelize.MaxCells)
		}
		cells *= n
	}
	if _, err := colormap.ByName(palette); err != nil {
		return nil, err
	}
	l := &layout{dims: dims, palette: palette, schema: schemaOf(dims, palette)}
	var b bytes.Buffer
	if err := ipc.NewWriter(&b, ipc.WithSchema(l.schema)).Close(); err != nil { // the schema, then the end marker
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	l.frame = bytes.Clone(b.Bytes()[:8+binary.LittleEndian.Uint32(b.Bytes()[4:])])
	return l, nil
}

// layoutOf returns the layout to write volumes with.
func layoutOf(dims [3]int, palette string) (*layout, error) {
	if l := known(func(l *layout) bool { return l.dims == dims && l.palette == palette }); l != nil {
		return l, nil
	}
	l, err := newLayout(dims, palette)
	if err == nil {
		remember(l)
	}
	return l, err
}

// recognise finds the layout whose schema message begins b. Only what our own writer emits is accepted, byte for byte: Arrow's parser, which
// allocates whatever a message says, never sees anything else. The shape and the palettes only tell which schema to compare with.
func recognise(b []byte) (*layout, error) {
	if l := known(func(l *layout) bool { return bytes.HasPrefix(b, l.frame) }); l != nil {
		return l, nil
	}
	head := b[:min(len(b), 4096)]
	dims, ok := shapeIn(head)
	if !ok {
		return nil, fmt.Errorf("%w: no tensor shape in the first %d bytes", ErrForeign, len(head))
	}
	for _, palette := range colormap.Names() {
		l, err := newLayout(dims, palette)
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(b, l.frame) {
			remember(l)
			return l, nil
		}
	}
	return nil, fmt.Errorf("%w: its first message differs from that of version %s for %v cells", ErrForeign, Version, dims)
}

// shapeIn reads the tensor's shape out of the extension's metadata, wherever that lies.
func shapeIn(head []byte) (dims [3]int, ok bool) {
	_, rest, found := bytes.Cut(head, []byte(`{"shape":[`))
	list, _, closed := bytes.Cut(rest, []byte("]"))
	if !found || !closed || len(list) > 32 {
		return dims, false
	}
	parts := strings.Split(string(list), ",")
	if len(parts) != len(dims) {
		return dims, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return dims, false
		}
		dims[i] = n
	}
	return dims, true
}
