// Package lidar reads and writes the point cloud files of laser scanners, their drivers and point cloud tools. Each
// format has its own source file.
package lidar

import (
	"bytes"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// checkCount rejects a number of points above the limit, or more than have bytes can hold at minBytes per point,
// before anything is allocated.
func checkCount(n, have, minBytes int64, o ingest.Options) error {
	switch {
	case n < 0:
		return fmt.Errorf("point count: found %d, want at least 0", n)
	case n > int64(o.MaxPoints):
		return fmt.Errorf("point count: found %d, limit %d", n, o.MaxPoints)
	case minBytes > 0 && n > have/minBytes:
		return fmt.Errorf("truncated: found %d bytes for %d points, want at least %d", have, n, n*minBytes)
	}
	return nil
}

// isText reports whether the head of a file contains only bytes that occur in text.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// wholeLines drops the last line of a head, which may be incomplete.
func wholeLines(h *ingest.Head) []byte {
	if int64(len(h.Bytes)) < ingest.HeadBytes {
		return h.Bytes
	}
	return h.Bytes[:bytes.LastIndexByte(h.Bytes, '\n')+1]
}

func oneCloud(p *ingest.PointCloud, fields []string) *ingest.Clouds {
	return &ingest.Clouds{Fields: fields, Clouds: []*ingest.PointCloud{p}}
}
