package lidar

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// KITTI is the raw scan of the KITTI data set (Geiger et al. 2013): float32 little-endian x, y, z in metres (x
// forward, y left, z up) and reflectance 0..1, in records of 16 bytes without a header.
var KITTI = rawScan(ingest.Format{
	Name:       "kitti",
	Doc:        "scans of four floats per point",
	Extensions: []string{".bin"},
	Tested:     "KITTI odometry 00 000000",
	Detect:     detectKITTI,
}, "x", "y", "z", "intensity")

// NuScenes is the lidar sweep of the nuScenes data set (.pcd.bin, which is not PCD): float32 little-endian x, y, z,
// intensity 0..255 and the ring number, 20 bytes per record. https://www.nuscenes.org/nuscenes#data-format
var NuScenes = rawScan(ingest.Format{
	Name:       "nuscenes",
	Doc:        "sweeps of five floats per point",
	Extensions: []string{".pcd.bin"},
	Tested:     "nuScenes n015 LIDAR_TOP",
	Detect:     detectNuScenes,
}, "x", "y", "z", "intensity", "ring")

const (
	// rawRange is a distance in metres beyond the range of the data sets' scanners.
	rawRange = 400
	// rawPeek is the number of records inspected to recognise a format without a signature.
	rawPeek = 2048
)

// rawScan adds the functions of a format of headerless float32 records to f.
func rawScan(f ingest.Format, fields ...string) ingest.Format {
	return ingest.CloudFormat(f, func(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
		stride := 4 * len(fields)
		if len(data)%stride != 0 {
			return nil, fmt.Errorf("truncated: found %d bytes, want a multiple of %d", len(data), stride)
		}
		n := len(data) / stride
		if err := checkCount(int64(n), int64(len(data)), int64(stride), o); err != nil {
			return nil, err
		}
		cols := make([]columns.Column, len(fields))
		for i, f := range fields {
			cols[i] = columns.Column{Name: f, Type: columns.Float32, Stride: stride, Data: data[min(4*i, len(data)):]}
		}
		p, err := columns.Cloud(n, cols)
		if err != nil {
			return nil, err
		}
		return oneCloud(p, fields), nil
	})
}

// plausible reports whether the first records of k floats have coordinates that are within range and not all zero,
// and other values that satisfy ok.
func plausible(h *ingest.Head, k int, ok func(rest []float32) bool) bool {
	n := min(len(h.Bytes)/(4*k), rawPeek)
	if n == 0 || h.Size%int64(4*k) != 0 || h.IsDir() {
		return false
	}
	nonzero := false
	v := make([]float32, k)
	for i := range n {
		for j := range v {
			v[j] = math.Float32frombits(binary.LittleEndian.Uint32(h.Bytes[4*(i*k+j):]))
		}
		for _, c := range v[:3] {
			a := math.Abs(float64(c))
			if !(a < rawRange) || a != 0 && a < 1e-12 { // tiny numbers are integers interpreted as floats
				return false
			}
			nonzero = nonzero || a > 0
		}
		if !ok(v[3:]) {
			return false
		}
	}
	return nonzero
}

func detectKITTI(h *ingest.Head) ingest.Confidence {
	if !plausible(h, 4, func(rest []float32) bool { return rest[0] >= 0 && rest[0] <= 255 }) {
		return ingest.No
	}
	if h.Ext == ".bin" {
		return ingest.Likely
	}
	return ingest.Guess
}

func detectNuScenes(h *ingest.Head) ingest.Confidence {
	rings := map[float32]bool{}
	whole := func(v, limit float32) bool { return v >= 0 && v <= limit && v == float32(int(v)) }
	if !plausible(h, 5, func(rest []float32) bool {
		rings[rest[1]] = true
		return whole(rest[0], 255) && whole(rest[1], 127)
	}) || len(rings) < 2 {
		return ingest.No
	}
	return ingest.Likely
}
