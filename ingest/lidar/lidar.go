// Package lidar reads and writes the point cloud files of laser scanners, their drivers and point cloud tools. Each
// format has its own source file.
package lidar

import (
	"bytes"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
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

// wholeRecords returns how many of n records of stride bytes, each with the name what, are in have bytes. If some are
// missing, that is noted.
func wholeRecords(what string, n, have, stride int64, o ingest.Options) (int64, error) {
	if err := checkCount(n, have, 0, o); err != nil {
		return 0, err
	}
	most := have / max(stride, 1)
	if n <= most {
		return n, nil
	}
	if most == 0 {
		return 0, checkCount(n, have, stride, o)
	}
	o.Note("truncated: found %d of %d %ss in %d bytes", most, n, what, have)
	return most, nil
}

// isText reports whether the head of a file contains only bytes that occur in text.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && (c < '\t' || c > '\r') || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// wholeLines returns the text of a head without the last line, which may be incomplete.
func wholeLines(h *ingest.Head) []byte {
	b := textnum.Text(h.Bytes)
	if int64(len(h.Bytes)) < ingest.HeadBytes {
		return b
	}
	return b[:bytes.LastIndexByte(b, '\n')+1]
}

func oneCloud(p *ingest.PointCloud, fields []string) *ingest.Clouds {
	return &ingest.Clouds{Fields: fields, Clouds: []*ingest.PointCloud{p}}
}
