package frame

import (
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

const partVolume = "volume"

// AddVolume appends the part "volume" and sets what the header says about the volume.
func (p *Payload) AddVolume(h *Header, v *voxelize.Volume) {
	h.Volume = p.AddCells(partVolume, v)
	if h.Time.IsZero() {
		h.Time = v.Time
	}
	if h.Label == nil && v.Label >= 0 {
		label := v.Label
		h.Label = &label
	}
}

// AddCells appends the cells of a volume as a part of shape (D, H, W, C), and returns their description.
func (p *Payload) AddCells(name string, v *voxelize.Volume) *Volume {
	c := v.Content
	out := &Volume{Dims: v.Dims, Origin: v.Origin, Edge: v.Edge, Values: c.Values, Hi: 1}
	shape := []int{v.Dims[0], v.Dims[1], v.Dims[2], max(1, c.Channels)}
	switch {
	case c.Float:
		out.Content = ContentValues
		out.Lo, out.Hi = bounds(v.Values)
		p.AddFloats(name, v.Values, shape...)
	case c.Palette != "":
		out.Content, out.Palette = ContentPalette, c.Palette
		copy(p.Add(name, U8, shape...), v.Index)
	default:
		out.Content, out.Scale, out.Bias = ContentBytes, c.Scale, c.Offset
		out.Lo, out.Hi = c.Offset, c.Offset+255*c.Scale
		copy(p.Add(name, U8, shape...), v.Index)
	}
	return out
}

// bounds returns the lowest and the highest finite value, or 0 and 0 if there is none.
func bounds(values []float32) (lo, hi float32) {
	first := true
	for _, x := range values {
		if x-x != 0 {
			continue
		}
		if first {
			lo, hi, first = x, x, false
		}
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

// Volume returns the volume of a frame of type "frame" that a client has sent. It is checked.
func (m *Message) Volume() (voxelize.Volume, error) {
	var h Header
	if m.Type != TypeFrame {
		return voxelize.Volume{}, fmt.Errorf("frame: found type %.32q, want %q", m.Type, TypeFrame)
	}
	if err := m.Into(&h); err != nil {
		return voxelize.Volume{}, err
	}
	if h.Volume == nil {
		return voxelize.Volume{}, errors.New("frame: found no volume")
	}
	v := voxelize.Volume{
		ID:   record.ID{Stream: h.Stream, Seq: h.Seq, Object: h.Object, View: h.View},
		Time: h.Time, Label: -1, Dims: h.Volume.Dims, Origin: h.Volume.Origin, Edge: h.Volume.Edge,
	}
	if h.Label != nil {
		v.Label = *h.Label
	}
	var part PartHeader
	var err error
	if h.Volume.Content == ContentValues {
		part, v.Values, err = m.Floats(partVolume)
	} else {
		part, v.Index, err = m.Part(partVolume, U8)
	}
	if err != nil {
		return voxelize.Volume{}, err
	}
	if len(part.Shape) != 4 || [3]int(part.Shape[:3]) != v.Dims {
		return voxelize.Volume{}, fmt.Errorf("frame: part %q: found shape %v, want %v and the channels", partVolume,
			part.Shape, v.Dims)
	}
	switch channels := part.Shape[3]; h.Volume.Content {
	case ContentValues:
		v.Content = voxelize.FloatContent(channels)
	case ContentPalette:
		v.Content = voxelize.PaletteContent(h.Volume.Palette)
		v.Content.Channels = channels
	case ContentBytes:
		v.Content = voxelize.ByteContent(channels, h.Volume.Scale, h.Volume.Bias)
	default:
		return voxelize.Volume{}, fmt.Errorf("frame: found content %.32q, want palette, bytes or values",
			h.Volume.Content)
	}
	v.Content.Values = h.Volume.Values
	if err := v.Check(); err != nil {
		return voxelize.Volume{}, fmt.Errorf("frame: volume: %w", err)
	}
	return v, nil
}
