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

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Keys of the schema's metadata. The package documentation describes them.
const (
	KeyVersion  = "voxelstream.version"
	KeyPalette  = "voxelstream.palette"
	KeyDims     = "voxelstream.dims"
	KeyChannels = "voxelstream.channels"
	KeyScale    = "voxelstream.scale"
	KeyOffset   = "voxelstream.offset"
	KeyValues   = "voxelstream.values"
)

// kind identifies one of our schemas.
type kind struct {
	dims    [3]int
	content voxelize.Content
	version int
	columns columnSet
}

// layout is a schema, with the bytes that our writer puts in front of its records.
type layout struct {
	kind
	// size is the number of values per volume.
	size   int
	schema *arrow.Schema
	// frame is the schema message of the stream, including the continuation marker.
	frame []byte
	// plan describes how to read records of version 1.
	plan *plan
}

// newLayout returns the layout of a kind. It checks the kind's dims and content.
func newLayout(k kind) (*layout, error) {
	size, err := k.content.Size(k.dims)
	if err != nil {
		return nil, err
	}
	l := &layout{kind: k, size: size}
	var fields []arrow.Field
	for c := range numColumns {
		if k.columns.has(c) {
			fields = append(fields, l.field(c))
		}
	}
	l.schema = arrow.NewSchema(fields, l.metadata())
	var b bytes.Buffer
	if err := ipc.NewWriter(&b, ipc.WithSchema(l.schema)).Close(); err != nil { // writes the schema and the end marker
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	l.frame = bytes.Clone(b.Bytes()[:8+binary.LittleEndian.Uint32(b.Bytes()[4:])])
	l.plan = version1Plan(l)
	return l, nil
}

// metadata returns the metadata that describes the columns.
func (l *layout) metadata() *arrow.Metadata {
	keys, values := []string{KeyVersion}, []string{strconv.Itoa(l.version)}
	add := func(key, value string) { keys, values = append(keys, key), append(values, value) }
	if l.content.Palette != "" {
		add(KeyPalette, l.content.Palette)
	}
	add(KeyDims, fmt.Sprintf("%d,%d,%d", l.dims[0], l.dims[1], l.dims[2]))
	if l.content.Palette == "" {
		add(KeyChannels, strconv.Itoa(l.content.Channels))
		if !l.content.Float {
			add(KeyScale, formatFloat(l.content.Scale))
			add(KeyOffset, formatFloat(l.content.Offset))
		}
	}
	if l.content.Values != "" {
		add(KeyValues, l.content.Values.String())
	}
	m := arrow.NewMetadata(keys, values)
	return &m
}

func formatFloat(x float32) string { return strconv.FormatFloat(float64(x), 'g', -1, 32) }

// layouts caches the schemas in use; a process typically has one or two. The cache is bounded because messages
// determine what goes into it.
var layouts struct {
	sync.RWMutex
	known []*layout
}

const maxLayouts = 32

// known returns the first cached layout that matches, or nil.
func known(wanted func(*layout) bool) *layout {
	layouts.RLock()
	defer layouts.RUnlock()
	if i := slices.IndexFunc(layouts.known, wanted); i >= 0 {
		return layouts.known[i]
	}
	return nil
}

// remember adds a layout to the cache.
func remember(l *layout) {
	layouts.Lock()
	defer layouts.Unlock()
	if len(layouts.known) < maxLayouts {
		layouts.known = append(layouts.known, l)
	}
}

// layoutOf returns the layout for writing volumes of a kind.
func layoutOf(k kind) (*layout, error) {
	if l := known(func(l *layout) bool { return l.kind == k }); l != nil {
		return l, nil
	}
	l, err := newLayout(k)
	if err == nil {
		remember(l)
	}
	return l, err
}

// knownVersion1 returns the cached layout of version 1 whose schema message is at the start of b, or nil.
func knownVersion1(b []byte) *layout {
	return known(func(l *layout) bool { return l.version == 1 && bytes.HasPrefix(b, l.frame) })
}

// recognize returns the layout of version 1 whose schema message is at the start of b. Only messages that are
// byte-identical to our own writer's are accepted, so Arrow's parser, which allocates as much as a message asks for,
// never sees anything else. The shape and the palettes only select the schema to compare with.
func recognize(b []byte) (*layout, error) {
	head := b[:min(len(b), 4096)]
	dims, ok := shapeIn(head)
	if !ok {
		return nil, fmt.Errorf("%w: no tensor shape in the first %d bytes", ErrForeign, len(head))
	}
	for _, palette := range colormap.Names() {
		if !bytes.Contains(head, []byte(palette)) {
			continue
		}
		l, err := newLayout(kind{dims, voxelize.PaletteContent(palette), 1, version1Columns})
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(b, l.frame) {
			remember(l)
			return l, nil
		}
	}
	return nil, fmt.Errorf("%w: the first message differs from the version 1 schema for %s cells", ErrForeign,
		option.Dims(dims).Cells())
}

// shapeIn extracts the tensor's shape from the extension metadata, wherever it lies in head.
func shapeIn(head []byte) (dims [3]int, ok bool) {
	_, rest, found := bytes.Cut(head, []byte(`{"shape":[`))
	list, _, closed := bytes.Cut(rest, []byte("]"))
	if !found || !closed || len(list) > 32 {
		return dims, false
	}
	return parseDims(string(list))
}

// parseDims parses D,H,W.
func parseDims(text string) (dims [3]int, ok bool) {
	parts := strings.Split(text, ",")
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
