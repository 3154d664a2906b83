package parquet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/thrift/lib/go/thrift"
	"github.com/golang/snappy"

	"github.com/voxelstream/voxelstream/internal/unpack"
)

// header is what the header of a page says about sizes, in bytes.
type header struct {
	uncompressed, compressed int32
	levels                   int32 // that are not compressed
	plain                    bool  // nothing is compressed
}

// checkSizes compares the sizes that the pages of a column promise with the sizes that are there, because the library
// allocates what is promised.
func checkSizes(file io.ReaderAt, size int64, column *metadata.ColumnChunkMetaData) error {
	at := column.DataPageOffset()
	if d := column.DictionaryPageOffset(); column.HasDictionaryPage() && d > 0 && d < at {
		at = d
	}
	n := column.TotalCompressedSize()
	if at < 0 || n < 0 || at > size || n > size-at {
		return fmt.Errorf("found %d bytes of pages at %d in a file of %d bytes", n, at, size)
	}
	return checkChunk(file, at, n, column.Compression())
}

// checkChunk checks the n bytes of pages at an offset of a file.
func checkChunk(file io.ReaderAt, at, n int64, compression compress.Compression) error {
	section := io.NewSectionReader(file, at, n)
	r := bufio.NewReader(section)
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		h, err := readHeader(r)
		if err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		read, _ := section.Seek(0, io.SeekCurrent) // it cannot fail
		if left := n - read + int64(r.Buffered()); h.compressed < 0 || int64(h.compressed) > left {
			return fmt.Errorf("found a page of %d bytes, of which there are %d", h.compressed, left)
		}
		if h.compressed > maxPage || h.uncompressed < 0 || h.uncompressed > maxPage {
			return fmt.Errorf("found a page of %d bytes, %d uncompressed, limit %d", h.compressed, h.uncompressed,
				maxPage)
		}
		data := make([]byte, h.compressed)
		if _, err := io.ReadFull(r, data); err != nil {
			return err
		}
		if h.levels < 0 || h.levels > min(h.compressed, h.uncompressed) {
			return fmt.Errorf("found %d bytes of levels in a page of %d", h.levels, h.compressed)
		}
		if h.plain {
			continue
		}
		if err := checkCompressed(compression, data[h.levels:], int64(h.uncompressed-h.levels)); err != nil {
			return err
		}
	}
}

// The fields of page headers that are used.
// https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
const (
	fieldUncompressed, fieldCompressed, fieldV2           = 2, 3, 8
	fieldDefinitions, fieldRepetitions, fieldIsCompressed = 5, 6, 7 // of fieldV2
)

// maxHeader limits the size of a page header in bytes. It is that of the library.
const maxHeader = 16 << 20

// readHeader reads the header of a page.
func readHeader(r *bufio.Reader) (h header, err error) {
	ctx := context.Background()
	p := thrift.NewTCompactProtocolConf(thrift.NewStreamTransportR(r),
		&thrift.TConfiguration{MaxMessageSize: maxHeader})
	var levels [2]int32
	err = eachField(ctx, p, func(field int16, kind thrift.TType) (err error) {
		switch {
		case field == fieldUncompressed && kind == thrift.I32:
			h.uncompressed, err = p.ReadI32(ctx)
		case field == fieldCompressed && kind == thrift.I32:
			h.compressed, err = p.ReadI32(ctx)
		case field == fieldV2 && kind == thrift.STRUCT:
			err = eachField(ctx, p, func(field int16, kind thrift.TType) (err error) {
				switch {
				case (field == fieldDefinitions || field == fieldRepetitions) && kind == thrift.I32:
					levels[field-fieldDefinitions], err = p.ReadI32(ctx)
				case field == fieldIsCompressed && kind == thrift.BOOL:
					compressed, err := p.ReadBool(ctx)
					h.plain = !compressed
					return err
				default:
					err = p.Skip(ctx, kind)
				}
				return err
			})
		default:
			err = p.Skip(ctx, kind)
		}
		return err
	})
	if levels[0] < 0 || levels[1] < 0 || levels[0] > maxPage || levels[1] > maxPage {
		return h, errors.Join(err, fmt.Errorf("found %d and %d bytes of levels", levels[0], levels[1]))
	}
	h.levels = levels[0] + levels[1]
	return h, err
}

// eachField calls read for each field of a struct. It must read the value.
func eachField(ctx context.Context, p *thrift.TCompactProtocol, read func(field int16, kind thrift.TType) error) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, kind, field, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if kind == thrift.STOP {
			return p.ReadStructEnd(ctx)
		}
		if err := read(field, kind); err != nil {
			return err
		}
	}
}

// zstdBlock is the size of the largest block of Zstandard, whose decompressed size a frame need not state.
const zstdBlock = 128 << 10

// checkCompressed checks that compressed data does not promise more than size bytes. Other compressions than these are
// decompressed into a buffer of that size.
func checkCompressed(c compress.Compression, data []byte, size int64) error {
	switch c {
	case compress.Codecs.Snappy:
		n, err := snappy.DecodedLen(data)
		if err != nil {
			return err
		}
		if int64(n) != size {
			return fmt.Errorf("found %d bytes compressed with Snappy, want %d", n, size)
		}
	case compress.Codecs.Zstd:
		if n := unpack.ZstdBound(data); n > size+zstdBlock {
			return fmt.Errorf("found up to %d bytes compressed with Zstandard, want %d", n, size)
		}
	case compress.Codecs.Gzip, compress.Codecs.Uncompressed:
	default:
		return fmt.Errorf("found the compression %v, want none, gzip, Snappy or Zstandard", c)
	}
	return nil
}
