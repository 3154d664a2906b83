package ingest

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// zstdMagic is the magic number of a frame, RFC 8878.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// unzstd replaces the start of a file by what it decompresses to.
func (h *Head) unzstd() error {
	var header zstd.Header
	if err := header.Decode(h.Bytes); err == nil && header.HasFCS && header.FrameContentSize <= math.MaxInt64 {
		h.Size = int64(header.FrameContentSize)
	}
	z, err := zstd.NewReader(bytes.NewReader(h.Bytes), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxZstdWindow))
	if err != nil {
		return fmt.Errorf("%s: zstd: %w", h.Path, err)
	}
	defer z.Close()
	// An error here is due to the end of the part of the file that was read; the output before it is the head.
	head, err := io.ReadAll(io.LimitReader(z, HeadBytes))
	if err != nil && len(head) == 0 {
		return nil // no format is recognised by what it holds
	}
	h.Bytes = head
	for _, ext := range []string{".zst", ".zstd"} {
		if name, ok := strings.CutSuffix(strings.ToLower(h.Path), ext); ok {
			h.Ext = filepath.Ext(name)
		}
	}
	return nil
}

// maxZstdWindow limits the memory to read the head of a file. It is the largest window of zstd's usual levels.
const maxZstdWindow = 128 << 20

// unzstd decompresses data. More than limit bytes is an error.
func unzstd(data []byte, limit int64) ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(uint64(max(limit, maxZstdWindow))))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer z.Close()
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(z, limit+1)); err != nil {
		return nil, fmt.Errorf("zstd: after %d uncompressed bytes: %w", out.Len(), err)
	}
	if int64(out.Len()) > limit {
		return nil, fmt.Errorf("zstd: found too many uncompressed bytes, limit %d", limit)
	}
	return out.Bytes(), nil
}
