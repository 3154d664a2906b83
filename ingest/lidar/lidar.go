// Package lidar reads and writes the files that laser scanners, their drivers and point cloud tools store points
// in: one format a file.
package lidar

import (
	"bytes"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// checkCount refuses a number of points above the limit, or more than the bytes that are there could hold at
// minBytes each, before anything is allocated for them.
func checkCount(n, have, minBytes int64, o ingest.Options) error {
	switch {
	case n < 0:
		return fmt.Errorf("point count: found %d, want 0 or more", n)
	case n > int64(o.MaxPoints):
		return fmt.Errorf("point count: found %d, limit %d", n, o.MaxPoints)
	case minBytes > 0 && n > have/minBytes:
		return fmt.Errorf("cut short: found %d bytes for %d points, want %d or more", have, n, n*minBytes)
	}
	return nil
}

// isText says whether the head of a file has no bytes that text has not.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// wholeLines drops the last line of a head that may have been cut within it.
func wholeLines(h *ingest.Head) []byte {
	if int64(len(h.Bytes)) < ingest.HeadBytes {
		return h.Bytes
	}
	return h.Bytes[:bytes.LastIndexByte(h.Bytes, '\n')+1]
}

func oneCloud(p *ingest.PointCloud, fields []string) *ingest.Clouds {
	return &ingest.Clouds{Fields: fields, Clouds: []*ingest.PointCloud{p}}
}
