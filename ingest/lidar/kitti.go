package lidar

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// KITTI is the raw scan of the KITTI dataset (Geiger et al. 2013): float32 little-endian x, y, z in metres (x
// forward, y left, z up) and reflectance 0..1, in records of 16 bytes without a header.
var KITTI = ingest.CloudFormat(ingest.Format{
	Name:       "kitti",
	Doc:        "scans of four floats per point, or of the columns that `--columns` names",
	Assumes:    "metres; bytes after the last whole point are left out",
	Refuses:    "scans in which a tenth of the points are not within 10 km or have a negative reflectance",
	Extensions: []string{".bin"},
	Tested:     "KITTI odometry 00 000000",
	Options:    newOptions,
	Detect:     detectKITTI,
}, decodeKITTI)

var decodeKITTI = rawDecoder("x", "y", "z", "intensity")

// NuScenes is the lidar sweep of the nuScenes dataset (.pcd.bin, which is not PCD): float32 little-endian x, y, z,
// intensity 0..255 and the ring number, 20 bytes per record. https://www.nuscenes.org/nuscenes#data-format
var NuScenes = ingest.CloudFormat(ingest.Format{
	Name:       "nuscenes",
	Doc:        "sweeps of five floats per point",
	Assumes:    "as for kitti",
	Refuses:    "as for kitti",
	Extensions: []string{".pcd.bin"},
	Tested:     "nuScenes n015 LIDAR_TOP",
	Options:    newOptions,
	Detect:     detectNuScenes,
}, rawDecoder("x", "y", "z", "intensity", "ring"))

const (
	// rawRange is a distance in metres beyond the range of any scanner.
	rawRange = 10_000
	// rawPeek is the number of records inspected to recognize a format without a signature.
	rawPeek = 2048
)

// rawDecoder returns the decoder of headerless float32 records with the given fields.
func rawDecoder(fields ...string) ingest.CloudDecoder {
	return func(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
		fields := fields
		chosen := optionsOf(o)
		if names, err := chosen.chosen(len(chosen.Columns)); err != nil {
			return nil, err
		} else if names != nil {
			fields = names
		} else if r := peekRaw(data, len(fields)); 10*r.good < 9*r.n {
			return nil, fmt.Errorf("%d of the first %d points of %d floats are not x, y, z within %d m and an "+
				"intensity: name the floats of a point with --columns, such as x,y,z,intensity,-",
				r.n-r.good, r.n, len(fields), rawRange)
		}
		stride := 4 * len(fields)
		n := len(data) / stride
		if rest := len(data) % stride; rest != 0 {
			if n == 0 {
				return nil, fmt.Errorf("truncated: found %d bytes, want a multiple of %d", len(data), stride)
			}
			o.Note(
				"truncated: found %d bytes, want a multiple of %d: the last %d bytes are left out",
				len(data),
				stride,
				rest,
			)
		}
		if err := checkCount(int64(n), int64(len(data)), int64(stride), o); err != nil {
			return nil, err
		}
		cols := make([]columns.Column, len(fields))
		for i, f := range fields {
			cols[i] = columns.Column{Name: f, Type: columns.Float32, Stride: stride, Data: data[min(4*i, len(data)):]}
		}
		p, err := columns.Cloud(n, cols, o)
		if err != nil {
			return nil, err
		}
		return oneCloud(p, fields), nil
	}
}

// rawPeeked are the properties of the first records of a file, read as k floats each.
type rawPeeked struct {
	n    int
	good int // x, y and z within range or NaN, an intensity of at most 16 bits
	zero int // those of the good ones whose coordinates are all zero
	// rings is the number of different fifth values, 0 if one is not an integer up to 255; fractions reports
	// intensities that are not integers up to 255.
	rings     int
	fractions bool
}

func peekRaw(data []byte, k int) (r rawPeeked) {
	r.n = min(len(data)/(4*k), rawPeek)
	var rings [256]bool
	ringed := k > 4
	for i := range r.n {
		record := data[4*k*i:][:4*k]
		number := func(j int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(record[4*j:])) }
		x, y, z, intensity := number(0), number(1), number(2), number(3)
		if isCoordinate(x) && isCoordinate(y) && isCoordinate(z) &&
			(intensity >= 0 && intensity <= math.MaxUint16 || intensity != intensity) { // or NaN
			r.good++
			if (x == 0 || x != x) && (y == 0 || y != y) && (z == 0 || z != z) {
				r.zero++
			}
		}
		r.fractions = r.fractions || !isByte(intensity)
		if ringed = ringed && isByte(number(4)); ringed {
			rings[int(number(4))] = true
		}
	}
	for _, found := range rings {
		if ringed && found {
			r.rings++
		}
	}
	return r
}

// isCoordinate reports whether a float can be a coordinate: within range, or NaN. Tiny numbers are integers that are
// interpreted as floats.
func isCoordinate(c float32) bool {
	c = max(c, -c)
	return !(c > rawRange) && (c == 0 || !(c < 1e-12))
}

// isByte reports whether a float is an integer from 0 to 255.
func isByte(v float32) bool { return v >= 0 && v <= 255 && v == float32(int(v)) }

// plausible reports whether nearly all records can be points.
func (r rawPeeked) plausible() bool { return r.good > r.zero && 10*r.good >= 9*r.n }

// strict reports whether all records can be points.
func (r rawPeeked) strict() bool { return r.good > r.zero && r.good == r.n }

// floats reports whether nearly all words of a file that are not 0 are ordinary float32 numbers, as chance makes one
// of four.
func floats(h *ingest.Head) bool {
	n, good := 0, 0
	for i := range min(len(h.Bytes)/4, 4*rawPeek) {
		word := binary.LittleEndian.Uint32(h.Bytes[4*i:])
		if word == 0 {
			continue
		}
		n++
		if a := math.Abs(float64(math.Float32frombits(word))); a > 1e-12 && a < 1e12 {
			good++
		}
	}
	return n >= 4 && 10*good >= 9*n
}

func detectKITTI(h *ingest.Head) ingest.Confidence {
	switch r := peekRaw(h.Bytes, 4); {
	case h.IsDir() || r.n == 0 || isText(h.Bytes):
		return ingest.No
	case h.Ext == ".bin" && r.plausible():
		return ingest.Likely
	case h.Ext == ".bin" && floats(h), r.strict() && h.Size%16 == 0:
		return ingest.Guess
	}
	return ingest.No
}

func detectNuScenes(h *ingest.Head) ingest.Confidence {
	r := peekRaw(h.Bytes, 5)
	named := strings.HasSuffix(strings.TrimSuffix(strings.ToLower(h.Path), ".gz"), ".pcd.bin")
	switch {
	case h.IsDir() || r.n == 0 || isText(h.Bytes):
		return ingest.No
	case r.plausible() && r.rings > 1 && (h.Ext == ".bin" || !r.fractions && r.strict() && h.Size%20 == 0),
		named && floats(h):
		return ingest.Likely
	}
	return ingest.No
}
