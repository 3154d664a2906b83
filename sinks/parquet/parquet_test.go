package parquet

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/golang/snappy"

	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestFormat(t *testing.T) {
	small := Format
	small.Options = func() any {
		o := Format.Options().(*Options)
		o.RowGroupRows = 2000
		return o
	}
	tabletest.Run(t, &small, 10_001, 400)
}

// TestCompression reads files with each compression, in row groups of limited size.
func TestCompression(t *testing.T) {
	for name := range codecs {
		t.Run(name, func(t *testing.T) {
			f := Format
			f.Options = func() any { return &Options{RowGroupRows: 1 << 20, RowGroupBytes: 1 << 20, Compression: name} }
			path := filepath.Join(t.TempDir(), "a.parquet")
			rows := tabletest.Rows(10_000)
			tabletest.Write(t, &f, path, rows, 10_000)
			if got, err := tabletest.Read(&f, path); err != nil || !reflect.DeepEqual(got, rows) {
				t.Errorf("found %d rows (%v), want %d", len(got), err, len(rows))
			}
			r, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:errcheck // opened for reading
			if n := r.parquet.NumRowGroups(); n < 3 || n > 5 {
				t.Errorf("found %d row groups of about 1 MiB, want 3 to 5", n)
			}
		})
	}
}

func TestKind(t *testing.T) { tabletest.RunKind(t, &Kind, &Format) }

func FuzzOpen(f *testing.F) { tabletest.Fuzz(f, &Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &Format) }

// TestPromises: pages that promise much more than there is are refused before anything of that size is allocated.
func TestPromises(t *testing.T) {
	frame := func(size uint64, blocks ...byte) []byte {
		// https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1: a single segment, 8 bytes of size
		return append(binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, size), blocks...)
	}
	raw := []byte{0x19, 0, 0, 'a', 'b', 'c'} // the last block, of three bytes
	// A frame that does not state its size, with blocks of one byte that is repeated 131,072 times.
	blocks := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x50}, bytes.Repeat([]byte{2, 0, 0x10, 'a'}, 16)...)
	page := func(uncompressed, compressed uint64, data []byte) []byte {
		// The type: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
		b := []byte{0x15, 0, 0x15}
		b = append(binary.AppendUvarint(b, 2*uncompressed), 0x15)
		return append(append(binary.AppendUvarint(b, 2*compressed), 0), data...)
	}
	whole := func(uncompressed int, data []byte) []byte {
		return page(uint64(uncompressed), uint64(len(data)), data)
	}
	for name, c := range map[string]struct {
		codec compress.Compression
		data  []byte
		want  string
	}{
		"good": {compress.Codecs.Zstd, whole(3, frame(3, raw...)), ""},
		"two good": {
			compress.Codecs.Snappy, slices.Repeat(whole(3, snappy.Encode(nil, []byte("abc"))), 2),
			"",
		},
		"frame": {compress.Codecs.Zstd, whole(3, frame(1<<31, raw...)), "2147483648 bytes compressed"},
		"second frame": {
			compress.Codecs.Zstd, whole(6, append(frame(3, raw...), frame(1<<31, raw...)...)),
			"2147483651",
		},
		"frame after other": {
			compress.Codecs.Zstd,
			whole(3, append([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9}, frame(1<<40, raw...)...)), "1099511627776",
		},
		"blocks": {compress.Codecs.Zstd, whole(3, blocks), "2097152 bytes compressed"},
		"Snappy": {
			compress.Codecs.Snappy, whole(3, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}),
			"4294967295 bytes",
		},
		"compressed":    {compress.Codecs.Gzip, page(3, 1<<30, raw), "of which there are 6"},
		"uncompressed":  {compress.Codecs.Gzip, page(1<<30, 6, raw), "1073741824 uncompressed"},
		"negative":      {compress.Codecs.Gzip, []byte{0x15, 0, 0x15, 6, 0x15, 5, 0}, "page of -3"},
		"Brotli":        {compress.Codecs.Brotli, whole(3, raw), "found the compression"},
		"half a header": {compress.Codecs.Gzip, []byte{0x15, 0, 0x15}, "page header"},
		"deep header":   {compress.Codecs.Gzip, bytes.Repeat([]byte{0x1c}, 1<<20), "page header"},
		"long text":     {compress.Codecs.Gzip, []byte{0x18, 0xff, 0xff, 0xff, 0xff, 0x07}, "page header"},
	} {
		err := checkChunk(bytes.NewReader(c.data), 0, int64(len(c.data)), c.codec)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: found %v, want %s", name, err, c.want)
		}
	}
}
