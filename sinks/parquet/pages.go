package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
)

// checkPages checks all pages of a column, because the library's ReadBatch does not end if a page has fewer levels or
// values than it says. The decoders of the encodings that are written here notice values that are missing.
func checkPages(g *file.RowGroupReader, at int, definition, repetition int16) error {
	pages, err := g.GetColumnPageReader(at)
	if err != nil {
		return err
	}
	for pages.Next() {
		page := pages.Page()
		switch e := parquet.Encoding(page.Encoding()); e {
		case parquet.Encodings.Plain, parquet.Encodings.PlainDict, parquet.Encodings.RLEDict:
		default:
			return fmt.Errorf("found a page of encoding %v, want plain or with a dictionary", e)
		}
		switch p := page.(type) {
		case *file.DataPageV1:
			data := p.Data()
			for _, l := range []struct {
				most     int16
				encoding parquet.Encoding
			}{{repetition, p.RepetitionLevelEncoding()}, {definition, p.DefinitionLevelEncoding()}} {
				if l.most == 0 {
					continue
				}
				if l.encoding != parquet.Encodings.RLE || len(data) < 4 {
					return fmt.Errorf("found levels of encoding %v in a page of %d bytes, want RLE", l.encoding,
						len(data))
				}
				n := binary.LittleEndian.Uint32(data)
				if int64(n) > int64(len(data)-4) {
					return fmt.Errorf("found %d bytes of levels in a page of %d", n, len(data))
				}
				if err := countLevels(data[4:4+n], l.most, p.NumValues()); err != nil {
					return err
				}
				data = data[4+n:]
			}
		case *file.DataPageV2:
			data := p.Data()
			r, d := int64(p.RepetitionLevelByteLen()), int64(p.DefinitionLevelByteLen())
			if r < 0 || d < 0 || r+d > int64(len(data)) {
				return fmt.Errorf("found %d and %d bytes of levels in a page of %d", r, d, len(data))
			}
			if err := errors.Join(countLevels(data[:r], repetition, p.NumValues()),
				countLevels(data[r:r+d], definition, p.NumValues())); err != nil {
				return err
			}
		}
	}
	return pages.Err()
}

// countLevels checks that there are as many levels as values, in runs of the hybrid of run lengths and packed bits.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE
func countLevels(data []byte, most int16, values int32) error {
	width := bits.Len16(uint16(most))
	if most == 0 {
		return nil
	}
	for have := uint64(0); have < uint64(max(values, 0)); {
		run, n := binary.Uvarint(data)
		count, size := run>>1, uint64((width+7)/8)
		if run&1 == 1 { // groups of eight
			size, count = count*uint64(width), count*8
		}
		if n <= 0 || count == 0 || run > 1<<40 || size > uint64(len(data)-n) {
			return fmt.Errorf("found %d levels of %d values", have, values)
		}
		data = data[uint64(n)+size:]
		have += count
	}
	return nil
}
