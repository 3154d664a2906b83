// Package laszip decodes the points of LAS files that are compressed by LASzip, including COPC: all versions of all
// items, in chunks of fixed and of variable size, as one stream, and in layers. It returns what a cloud keeps of a
// point: coordinates, intensity and colour.
//
// The method is that of M. Isenburg, "LASzip: lossless compression of LiDAR data", Photogrammetric Engineering &
// Remote Sensing 79(2), 2013, and of the LAZ specification,
// https://downloads.rapidlasso.de/doc/LAZ_Specification_1.4_R1.pdf; where these are ambiguous, it follows the program
// LASzip, https://github.com/LASzip/LASzip.
package laszip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Point is what is kept of a point: raw coordinates, as the header scales them, intensity, and the colour where the
// format has one.
type Point struct {
	X, Y, Z   int32
	Intensity uint16
	RGB       [3]uint16
}

func rawPoint(raw []byte) Point {
	le := binary.LittleEndian
	return Point{
		X: int32(le.Uint32(raw)), Y: int32(le.Uint32(raw[4:])), Z: int32(le.Uint32(raw[8:])), Intensity: le.Uint16(raw[12:]),
	}
}

// Compressors.
const (
	pointwise        = 1 // one stream
	pointwiseChunked = 2
	layeredChunked   = 3
)

// Kinds of items, and their sizes in bytes; 0 for any.
const (
	itemExtra   = 0
	itemPoint10 = 6
	itemTime    = 7
	itemRGB12   = 8
	itemWave13  = 9
	itemPoint14 = 10
	itemRGB14   = 11
	itemNIR14   = 12
	itemWave14  = 13
	itemExtra14 = 14
)

var itemSizes = map[int]int{
	itemExtra: 0, itemPoint10: 20, itemTime: 8, itemRGB12: 6, itemWave13: 29, itemPoint14: 30, itemRGB14: 6,
	itemNIR14: 8, itemWave14: 29,
	itemExtra14: 0,
}

// What the record of LASzip holds, little endian: the compressor at 0, points a chunk at 12, the number of items at
// 32, then the items, each kind, size and version.
const (
	layoutChunkSize = 12
	layoutItems     = 32
	layoutHead      = 34
	layoutItem      = 6
	variableChunks  = 1<<32 - 1
)

// maxExtra bounds the extra bytes of a point: each has a model of some 3 KiB in every worker, and real files have
// tens of them.
const maxExtra = 4096

// UserID and RecordID name the variable length record that [ParseLayout] reads.
const (
	UserID   = "laszip encoded"
	RecordID = 22204
)

type itemHead struct{ kind, size, version int }

// Layout is how the points of a file are compressed.
type Layout struct {
	compressor int
	chunk      uint32 // points of each chunk; variableChunks: the table says
	record     int
	items      []itemHead
	rgbAt      int // offset of the colours in a record; 0: none
	rgbVersion int
	layers     int // of a chunk
}

// ParseLayout reads the record of LASzip in a file with points of record bytes each.
func ParseLayout(data []byte, record int) (*Layout, error) {
	le := binary.LittleEndian
	if len(data) < layoutHead {
		return nil, fmt.Errorf("record of LASzip: found %d bytes, want %d or more", len(data), layoutHead)
	}
	l := &Layout{compressor: int(le.Uint16(data)), chunk: le.Uint32(data[layoutChunkSize:]), record: record}
	if l.compressor < pointwise || l.compressor > layeredChunked {
		return nil, fmt.Errorf("compressor: found %d, want %d to %d", l.compressor, pointwise, layeredChunked)
	}
	if l.chunk == 0 && l.compressor != pointwise {
		return nil, errors.New("chunk size: found 0")
	}
	n := int(le.Uint16(data[layoutItems:]))
	if len(data) < layoutHead+n*layoutItem {
		return nil, fmt.Errorf("record of LASzip: found %d bytes, want %d for %d items", len(data), layoutHead+n*layoutItem, n)
	}
	at := 0
	for i := range n {
		b := data[layoutHead+i*layoutItem:]
		h := itemHead{int(le.Uint16(b)), int(le.Uint16(b[2:])), int(le.Uint16(b[4:]))}
		if err := l.add(h, at); err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		at += h.size
	}
	if at != record || n == 0 {
		return nil, fmt.Errorf("items: found %d bytes in all, want %d of a record", at, record)
	}
	return l, nil
}

// add checks an item that starts at an offset of the record.
func (l *Layout) add(h itemHead, at int) error {
	want, ok := itemSizes[h.kind]
	switch {
	case !ok:
		return fmt.Errorf("found kind %d, want %d or %d to %d", h.kind, itemExtra, itemPoint10, itemExtra14)
	case want > 0 && h.size != want || h.size == 0:
		return fmt.Errorf("found %d bytes of kind %d, want %d", h.size, h.kind, want)
	case want == 0 && h.size > maxExtra:
		return fmt.Errorf("found %d extra bytes, limit %d", h.size, maxExtra)
	case want == 0 && slices.ContainsFunc(l.items, func(o itemHead) bool { return o.kind == h.kind }):
		return fmt.Errorf("found kind %d again", h.kind)
	case (len(l.items) == 0) != (h.kind == itemPoint10 || h.kind == itemPoint14):
		return fmt.Errorf("found kind %d, want kind %d or %d first and only there", h.kind, itemPoint10, itemPoint14)
	case (l.compressor == layeredChunked) != (h.kind >= itemPoint14):
		return fmt.Errorf("found kind %d for compressor %d", h.kind, l.compressor)
	}
	switch h.kind {
	case itemPoint14:
		l.layers += layersPoint14
	case itemRGB14, itemNIR14:
		if len(l.items) != 1 {
			return fmt.Errorf("found colours as item %d, want them right behind the point", len(l.items))
		}
		l.layers += h.kind - itemRGB14 + 1
		l.rgbAt, l.rgbVersion = at, h.version
	case itemRGB12:
		l.rgbAt = at
	case itemWave14:
		l.layers++
	case itemExtra14:
		l.layers += h.size
	}
	oldest, newest := 1, 2
	if l.compressor == layeredChunked {
		oldest, newest = 3, 4
	}
	if (h.version < oldest || h.version > newest) && h.kind != itemWave13 {
		return fmt.Errorf("found version %d of kind %d, want %d or %d", h.version, h.kind, oldest, newest)
	}
	l.items = append(l.items, h)
	return nil
}

// HasRGB reports whether the points have colours.
func (l *Layout) HasRGB() bool { return l.rgbAt > 0 }
