package lidar

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/laszip"
)

// LAZ is LAS with points compressed by LASzip, including COPC: the LAS header with a bit set in the point format,
// and a variable length record that describes the compression. Chunks are decoded in parallel. COPC's octree is not
// needed to read all points. LAZ Specification 1.4,
// https://downloads.rapidlasso.de/doc/LAZ_Specification_1.4_R1.pdf; COPC 1.0, https://copc.io
var LAZ = ingest.CloudFormat(ingest.Format{
	Name: "laz",
	Doc: "LASzip, including COPC; point formats 0 to 10; item versions 1 to 4; one stream, fixed " +
		"and variable chunks, layers",
	Assumes:    "colours have 8 bits if none exceeds 255",
	Refuses:    "a scale of 0; truncated files",
	Extensions: []string{".laz"},
	Tested:     "PDAL simple.laz and 1.2-with-color.copc.laz; laspy extra.laz",
	Detect:     detectLAZ,
}, decodeLAZ)

func detectLAZ(h *ingest.Head) ingest.Confidence {
	if bytes.HasPrefix(h.Bytes, []byte(lasMagic)) && len(h.Bytes) > lasPointFormat &&
		h.Bytes[lasPointFormat]&lasCompressed != 0 {
		return ingest.Sure
	}
	return ingest.No
}

func decodeLAZ(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	h, err := parseLASHeader(data, o)
	if err != nil {
		return nil, err
	}
	layout, err := lazLayout(data, int(h.record))
	if err != nil {
		return nil, err
	}
	if err := checkCount(h.count, int64(len(data)), 0, o); err != nil {
		return nil, err
	}
	f := lasFormats[h.format]
	if layout.HasRGB() != (f.rgb > 0) {
		return nil, fmt.Errorf("point format: found %d, but compressed colours: %t", h.format, layout.HasRGB())
	}
	p, err := lazPoints(data, h, layout, o)
	if err != nil {
		return nil, err
	}
	return oneCloud(p, append(strings.Fields(f.fields), lasExtraNames(data)...)), nil
}

func lazLayout(data []byte, record int) (*laszip.Layout, error) {
	for v := range lasVLRRecords(data) {
		if v.user == laszip.UserID && v.record == laszip.RecordID {
			return laszip.ParseLayout(v.content, record)
		}
	}
	return nil, errors.New("found no LASzip record among the variable length records")
}

// lazPoints decodes the points. Colours are kept as 16 bits until all of them are known.
func lazPoints(data []byte, h *lasHeader, layout *laszip.Layout, o ingest.Options) (*ingest.PointCloud, error) {
	n := int(h.count)
	chunks, err := laszip.Find(data, h.at, n, layout)
	if err != nil {
		return nil, err
	}
	const rgb = 3 * 2 // bytes of a colour while it is decoded
	if err := o.Take(n, ingest.PointBytes+ingest.IntensityBytes+ingest.ColorBytes+rgb); err != nil {
		return nil, err
	}
	p := &ingest.PointCloud{
		X:         make([]float64, n),
		Y:         make([]float64, n),
		Z:         make([]float64, n),
		Intensity: make([]float32, n),
	}
	var colors [][3]uint16
	if layout.HasRGB() {
		colors = make([][3]uint16, n)
	}
	err = chunks.Decode(o.Err, func(first int, points []laszip.Point) {
		for k := range points {
			i, q := first+k, &points[k]
			// The conversions keep the products from being fused with the sums.
			p.X[i] = float64(float64(q.X)*h.scale[0]) + h.offset[0]
			p.Y[i] = float64(float64(q.Y)*h.scale[1]) + h.offset[1]
			p.Z[i] = float64(float64(q.Z)*h.scale[2]) + h.offset[2]
			p.Intensity[i] = float32(q.Intensity)
			if colors != nil {
				colors[i] = q.RGB
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if colors != nil {
		lazColors(p, colors, o)
	}
	return p, nil
}

// lazColors uses the high bytes of colours, or the low bytes if all colours fit into them, like lasColors.
func lazColors(p *ingest.PointCloud, colors [][3]uint16, o ingest.Options) {
	all := uint16(0)
	for _, c := range colors {
		all |= c[0] | c[1] | c[2]
	}
	shift := 0
	if all > 0xff {
		shift = 8
	} else if all > 0 {
		o.Note(lasNarrow)
	}
	n := len(colors)
	p.R, p.G, p.B = make([]uint8, n), make([]uint8, n), make([]uint8, n)
	for i, c := range colors {
		p.R[i], p.G[i], p.B[i] = uint8(c[0]>>shift), uint8(c[1]>>shift), uint8(c[2]>>shift)
	}
}
