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
		return nil // no format is recognized by what it holds
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
