package volarrow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/internal/arrowmeta"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Limits of a schema's metadata.
const (
	maxSetting   = 256 // bytes of a value
	maxExtension = 4096
)

// Keys of a field's metadata for the extension type of voxels.
const (
	keyExtension         = "ARROW:extension:name"
	keyExtensionMetadata = "ARROW:extension:metadata"
)

// place is the position of a column in a record: its first node and its first buffer. The node and buffers of a
// list's values follow.
type place struct{ node, buffer int }

// plan describes how to read the records of a message.
type plan struct {
	dims    [3]int
	content voxelize.Content
	// size is the number of values per volume.
	size    int
	columns columnSet
	places  [numColumns]place
	// nodes and buffers are the totals of all columns, including unknown ones.
	nodes, buffers int
	// strict plans allow nulls only in the column time.
	strict bool
}

// version1Plan returns the plan of version 1, whose columns have a fixed order.
func version1Plan(l *layout) *plan {
	p := &plan{dims: l.dims, content: l.content, size: l.size, columns: version1Columns, strict: true}
	for c := range colObject {
		p.places[c] = place{p.nodes, p.buffers}
		p.nodes, p.buffers = p.nodes+1, p.buffers+2
		if c == colVoxels || c == colOrigin { // the values of a list have their own node and buffer
			p.nodes, p.buffers = p.nodes+1, p.buffers+1
		}
	}
	return p
}

// schema is the schema of a message with the metadata that we know.
type schema struct {
	*arrowmeta.Schema
	settings map[string]string
}

// settingKeys are the metadata keys that we know.
var settingKeys = []string{KeyVersion, KeyPalette, KeyDims, KeyChannels, KeyScale, KeyOffset, KeyValues}

// openSchema reads the header and metadata of the schema at the start of b. It returns the rest of b.
func openSchema(b []byte) (s *schema, rest []byte, err error) {
	head, rest, err := arrowmeta.ReadSchema(b)
	if err != nil {
		return nil, nil, err
	}
	s = &schema{Schema: head, settings: map[string]string{}}
	var bad error // returned at the end, because the version may still follow
	err = s.Metadata(func(key, value []byte) error {
		i := slices.Index(settingKeys, string(key))
		if i < 0 {
			return nil
		}
		if _, twice := s.settings[settingKeys[i]]; twice || len(value) > maxSetting {
			bad = fmt.Errorf("%s: found it twice or with %d bytes, want it once with at most %d", settingKeys[i],
				len(value), maxSetting)
			return nil
		}
		s.settings[settingKeys[i]] = string(value)
		return nil
	})
	return s, rest, cmp.Or(err, bad)
}

// plan returns the plan of version 2.
func (s *schema) plan() (*plan, error) {
	l, err := s.Layout()
	if err != nil {
		return nil, err
	}
	p := &plan{nodes: l.Nodes, buffers: l.Buffers}
	var voxels *arrowmeta.Column
	for i := range l.Columns {
		found := &l.Columns[i]
		c, ok := columnNamed(found.Name)
		if !ok {
			continue
		}
		if p.columns.has(c) {
			return nil, fmt.Errorf("found column %s twice, want it once", spec[c].name)
		}
		p.columns |= 1 << c
		p.places[c] = place{found.Node, found.Buffer}
		if c == colVoxels {
			voxels = found // checked below, when the content is known
			continue
		}
		if found.Type != spec[c].typ {
			return nil, fmt.Errorf("column %s: found %s, want %s", spec[c].name, found.Type, spec[c].typ)
		}
	}
	for c := range numColumns {
		if spec[c].required && !p.columns.has(c) {
			return nil, fmt.Errorf("found no column %s, which is required", spec[c].name)
		}
	}
	return p, s.voxels(p, voxels)
}

func columnNamed(name string) (column, bool) {
	for c := range numColumns {
		if spec[c].name == name {
			return c, true
		}
	}
	return 0, false
}

// voxels reads the content and dims of the voxels.
func (s *schema) voxels(p *plan, column *arrowmeta.Column) error {
	t := column.Type
	var err error
	if p.dims, p.content, err = s.content(t); err != nil {
		return err
	}
	if p.size, err = p.content.Size(p.dims); err != nil {
		return err
	}
	elem := "uint8"
	if p.content.Float {
		elem = "float32"
	}
	if want := fmt.Sprintf("fixed_size_list<%s>[%d]", elem, p.size); t != want {
		return fmt.Errorf("column voxels: found %s, want %s for %s cells with %s",
			t, want, option.Dims(p.dims).Cells(), p.content)
	}
	return s.tensor(column, p)
}

// content returns the dims and content given by the metadata. t is the type of the voxels.
func (s *schema) content(t string) (dims [3]int, c voxelize.Content, err error) {
	dims, ok := parseDims(s.settings[KeyDims])
	if !ok {
		return dims, c, fmt.Errorf("%s: found %q, want D,H,W", KeyDims, s.settings[KeyDims])
	}
	float := strings.HasPrefix(t, "fixed_size_list<float32>")
	c = voxelize.Content{Palette: s.settings[KeyPalette], Channels: 1, Float: float}
	if text, ok := s.settings[KeyChannels]; ok {
		if c.Channels, err = strconv.Atoi(text); err != nil {
			return dims, c, fmt.Errorf("%s: found %q, want a number", KeyChannels, text)
		}
	}
	if c.Palette == "" && !c.Float {
		c.Scale = 1
	}
	if c.Scale, err = s.number(KeyScale, c.Scale); err != nil {
		return dims, c, err
	}
	if c.Offset, err = s.number(KeyOffset, 0); err != nil {
		return dims, c, err
	}
	if c.Values, err = voxelize.ParseEncoding(s.settings[KeyValues]); err != nil {
		return dims, c, fmt.Errorf("%s: %w", KeyValues, err)
	}
	if c.Values == voxelize.RawValues || c.Values == voxelize.PaletteIndices {
		c.Values = "" // as if absent
	}
	return dims, c, nil
}

// number returns a number from the metadata, or absent if its key is missing.
func (s *schema) number(key string, absent float32) (float32, error) {
	text, ok := s.settings[key]
	if !ok {
		return absent, nil
	}
	x, err := strconv.ParseFloat(text, 32)
	if err != nil {
		return 0, fmt.Errorf("%s: found %q, want a number", key, text)
	}
	return float32(x), nil
}

// tensor checks the extension type's metadata, if the voxels have it. The shape must be that of the volumes, with
// unpermuted axes.
func (s *schema) tensor(column *arrowmeta.Column, p *plan) error {
	var name, text []byte
	if err := s.ColumnMetadata(column, func(key, value []byte) error {
		switch string(key) {
		case keyExtension:
			name = value
		case keyExtensionMetadata:
			text = value
		}
		return nil
	}); err != nil {
		return err
	}
	if string(name) != (*FixedShapeTensor)(nil).ExtensionName() {
		return nil
	}
	if len(text) > maxExtension {
		return fmt.Errorf("column voxels: found tensor metadata of %d bytes, want at most %d", len(text), maxExtension)
	}
	var m tensorMetadata
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("column voxels: tensor metadata: %w", err)
	}
	want := []int64{int64(p.dims[0]), int64(p.dims[1]), int64(p.dims[2]), int64(p.content.Channels)}
	one := p.content.Channels == 1 && slices.Equal(m.Shape, want[:3])
	if !one && !slices.Equal(m.Shape, want) {
		return fmt.Errorf("column voxels: found a tensor of shape %v, want %v", m.Shape, want)
	}
	for i, axis := range m.Permutation {
		if i != axis {
			return fmt.Errorf("column voxels: found a tensor with permuted axes %v, want them in order", m.Permutation)
		}
	}
	return nil
}
