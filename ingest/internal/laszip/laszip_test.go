package laszip

import (
	"encoding/binary"
	"strings"
	"testing"
)

// layout makes the record of LASzip of some items.
func layout(items ...itemHead) []byte {
	le := binary.LittleEndian
	b := make([]byte, layoutHead)
	le.PutUint16(b, pointwiseChunked)
	le.PutUint32(b[layoutChunkSize:], 50000)
	le.PutUint16(b[layoutItems:], uint16(len(items)))
	for _, h := range items {
		for _, v := range []int{h.kind, h.size, h.version} {
			b = le.AppendUint16(b, uint16(v))
		}
	}
	return b
}

// TestLayoutLimits: what a file claims of its points may not make each worker allocate hundreds of megabytes.
func TestLayoutLimits(t *testing.T) {
	point := itemHead{itemPoint10, 20, 2}
	if _, err := ParseLayout(layout(point, itemHead{itemExtra, 12, 2}), 32); err != nil {
		t.Error(err)
	}
	for want, items := range map[string][]itemHead{
		"found 60000 extra bytes, limit 4096": {point, {itemExtra, 60000, 2}},
		"found kind 0 again":                  {point, {itemExtra, 4000, 2}, {itemExtra, 4000, 2}},
		"found version 3":                     {point, {itemExtra, 12, 3}},
		"found 21 bytes of kind 6, want 20":   {{itemPoint10, 21, 2}},
	} {
		record := 0
		for _, h := range items {
			record += h.size
		}
		if _, err := ParseLayout(layout(items...), record); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %q", err, want)
		}
	}
}
