package lidar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// LAS is the ASPRS format of airborne and mobile laser scanning, versions 1.0 to 1.4, point formats 0 to 10: a
// header, variable length records, then little-endian points whose coordinates are int32 times a scale plus an
// offset. Bytes after the fields of the point format ("extra bytes") are skipped using the record length. Waveforms
// and extended records are outside the points and are not read. ASPRS LAS Specification 1.4 - R15,
// https://www.asprs.org/divisions-committees/lidar-division/laser-las-file-format-exchange-activities
var LAS = ingest.CloudFormat(ingest.Format{
	Name:       "las",
	Doc:        "1.0 to 1.4; point formats 0 to 10; extra bytes; colours",
	Assumes:    "colours have 8 bits if none exceeds 255; missing points at the end are left out",
	Refuses:    "a scale of 0",
	Extensions: []string{".las"},
	Tested:     "PDAL, laspy and pyntcloud test files",
	Detect:     detectLAS,
}, decodeLAS)

// Offsets in the header. Everything is little endian.
const (
	lasMagic         = "LASF"
	lasVersion       = 24 // major, minor
	lasHeaderSize    = 94
	lasPointsAt      = 96
	lasVLRs          = 100
	lasPointFormat   = 104
	lasRecordLength  = 105
	lasLegacyCount   = 107
	lasScale         = 131
	lasOffset        = 155
	lasMinHeader     = 227
	lasWaveformAt    = 227 // from 1.3 on: where the waveforms begin
	lasEVLRAt        = 235 // from 1.4 on: where the extended records begin
	lasCount64       = 247 // from 1.4 on
	lasMinHeader14   = 375
	lasCompressed    = 0xc0 // bits that LASzip sets in the point format
	lasIntensity     = 12   // in every record
	lasVLRHeader     = 54
	lasMaxVLRs       = 1 << 16
	lasExtraBytes    = 4   // record ID of the VLR of user LASF_Spec that describes the extra bytes
	lasExtraByteSize = 192 // of one description
)

// lasFormat is a point data record format: its minimum length, the offset of its colours (0 if none), and the names
// of its fields.
type lasFormat struct {
	length, rgb int
	fields      string
}

const (
	lasOld = "x y z intensity return_number number_of_returns scan_direction edge_of_flight_line classification " +
		"scan_angle_rank user_data point_source_id"
	lasNew = "x y z intensity return_number number_of_returns classification_flags scanner_channel scan_direction " +
		"edge_of_flight_line classification " +
		"user_data scan_angle point_source_id gps_time"
	lasWave = " wave_packet_index wave_offset wave_size return_point_wave_location x_t y_t z_t"
)

var lasFormats = [...]lasFormat{
	0:  {20, 0, lasOld},
	1:  {28, 0, lasOld + " gps_time"},
	2:  {26, 20, lasOld + " red green blue"},
	3:  {34, 28, lasOld + " gps_time red green blue"},
	4:  {57, 0, lasOld + " gps_time" + lasWave},
	5:  {63, 28, lasOld + " gps_time red green blue" + lasWave},
	6:  {30, 0, lasNew},
	7:  {36, 30, lasNew + " red green blue"},
	8:  {38, 30, lasNew + " red green blue nir"},
	9:  {59, 0, lasNew + lasWave},
	10: {67, 30, lasNew + " red green blue nir" + lasWave},
}

func detectLAS(h *ingest.Head) ingest.Confidence {
	if bytes.HasPrefix(h.Bytes, []byte(lasMagic)) && detectLAZ(h) == ingest.No {
		return ingest.Sure
	}
	return ingest.No
}

type lasHeader struct {
	format        int
	record, count int64
	at            int64
	scale, offset [3]float64
}

func parseLASHeader(data []byte, o ingest.Options) (*lasHeader, error) {
	le := binary.LittleEndian
	if len(data) < lasMinHeader || string(data[:4]) != lasMagic {
		return nil, fmt.Errorf(
			"header: found %d bytes, want at least %d that start with %q",
			len(data),
			lasMinHeader,
			lasMagic,
		)
	}
	major, minor := data[lasVersion], data[lasVersion+1]
	if major != 1 {
		return nil, fmt.Errorf("header: found version %d.%d, want 1.0 to 1.4", major, minor)
	}
	if minor > 4 {
		o.Note("header: found version 1.%d, read as 1.4", minor)
	}
	h := &lasHeader{
		format: int(data[lasPointFormat] &^ lasCompressed), record: int64(le.Uint16(data[lasRecordLength:])),
		count: int64(le.Uint32(data[lasLegacyCount:])),
		at:    int64(le.Uint32(data[lasPointsAt:])),
	}
	if minor >= 4 {
		if len(data) < lasMinHeader14 {
			return nil, fmt.Errorf("header: found %d bytes, want %d", len(data), lasMinHeader14)
		}
		if n := le.Uint64(data[lasCount64:]); n > math.MaxInt64 {
			return nil, fmt.Errorf("point count: found %d", n)
		} else if n > 0 {
			h.count = int64(n)
		}
	}
	if h.format >= len(lasFormats) {
		return nil, fmt.Errorf("point format: found %d, want 0 to %d", h.format, len(lasFormats)-1)
	}
	if least := int64(lasFormats[h.format].length); h.record < least {
		return nil, fmt.Errorf(
			"record length: found %d, want at least %d for point format %d",
			h.record,
			least,
			h.format,
		)
	}
	if h.at < int64(le.Uint16(data[lasHeaderSize:])) || h.at > int64(len(data)) {
		return nil, fmt.Errorf("offset to point data: found %d, want an offset after the header in a file "+
			"of %d bytes", h.at, len(data))
	}
	for k := range 3 {
		h.scale[k] = math.Float64frombits(le.Uint64(data[lasScale+8*k:]))
		h.offset[k] = math.Float64frombits(le.Uint64(data[lasOffset+8*k:]))
		if s := h.scale[k]; s == 0 || math.IsNaN(s) || math.IsInf(s, 0) || math.IsNaN(h.offset[k]) ||
			math.IsInf(h.offset[k], 0) {
			return nil, fmt.Errorf(
				"header: found scale %g and offset %g of %c, want finite numbers and a scale other than 0",
				s,
				h.offset[k],
				'x'+k,
			)
		}
	}
	return h, nil
}

func decodeLAS(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	h, err := parseLASHeader(data, o)
	if err != nil {
		return nil, err
	}
	if data[lasPointFormat]&lasCompressed != 0 {
		return nil, fmt.Errorf("point format: found %#x, which is compressed (LAZ)", data[lasPointFormat])
	}
	body := data[h.at:h.end(data)]
	if h.count == 0 && int64(len(body)) >= h.record {
		// The writer could not return to the header, or was interrupted.
		h.count = int64(len(body)) / h.record
		o.Note("header: found 0 points, the data hold %d", h.count)
	}
	count, err := wholeRecords("point", h.count, int64(len(body)), h.record, o)
	if err != nil {
		return nil, err
	}
	if more := int64(len(body)) - count*h.record; count == h.count && more >= h.record {
		o.Note("%d bytes after the %d points of the header are left out", more, count)
	}
	n, f := int(count), lasFormats[h.format]
	if err := o.Take(n, ingest.PointBytes+ingest.IntensityBytes+ingest.ColorBytes); err != nil {
		return nil, err
	}
	p := &ingest.PointCloud{
		X: make([]float64, n), Y: make([]float64, n), Z: make([]float64, n),
		Intensity: make([]float32, n),
	}
	x, y, z, intensity := p.X, p.Y[:n], p.Z[:n], p.Intensity[:n]
	for i := range x {
		if i%(1<<20) == 0 && o.Err() != nil {
			return nil, o.Err()
		}
		// One bounds check for the fixed head of the record. The conversions keep the product from being fused with
		// the sum.
		r := body[i*int(h.record):][:14]
		x[i] = float64(float64(int32(binary.LittleEndian.Uint32(r)))*h.scale[0]) + h.offset[0]
		y[i] = float64(float64(int32(binary.LittleEndian.Uint32(r[4:])))*h.scale[1]) + h.offset[1]
		z[i] = float64(float64(int32(binary.LittleEndian.Uint32(r[8:])))*h.scale[2]) + h.offset[2]
		intensity[i] = float32(binary.LittleEndian.Uint16(r[lasIntensity:]))
	}
	if f.rgb > 0 {
		lasColors(p, body, int(h.record), f.rgb, o)
	}
	if err := lasFields(p, body, h, o); err != nil {
		return nil, err
	}
	return oneCloud(p, append(strings.Fields(f.fields), lasExtraNames(data)...)), nil
}

// lasColors uses the high bytes of the 16-bit colours, or the low bytes if all colours fit into them: many writers
// do not scale 8-bit colours up as the specification requires.
func lasColors(p *ingest.PointCloud, body []byte, stride, at int, o ingest.Options) {
	n := p.Len()
	p.R, p.G, p.B = make([]uint8, n), make([]uint8, n), make([]uint8, n)
	shift := 0
	for i := 0; i < n && shift == 0; i++ {
		c := body[i*stride+at:][:6]
		if c[1]|c[3]|c[5] != 0 {
			shift = 1
		}
	}
	any := uint8(0)
	for i := range n {
		c := body[i*stride+at:][:6]
		p.R[i], p.G[i], p.B[i] = c[shift], c[2+shift], c[4+shift]
		any |= c[0] | c[2] | c[4]
	}
	if shift == 0 && any > 0 {
		o.Note(lasNarrow)
	}
}

// lasNarrow is the note about colours that are not scaled up.
const lasNarrow = "colours of 16 bits are at most 255: read as 8 bits"

// end returns the offset after the points: that of the waveforms or extended records, if the header says where they
// begin, or of the end of the file.
func (h *lasHeader) end(data []byte) int64 {
	end := int64(len(data))
	for at, minor := range map[int]byte{lasWaveformAt: 3, lasEVLRAt: 4} {
		if data[lasVersion+1] < minor || len(data) < at+8 ||
			int(binary.LittleEndian.Uint16(data[lasHeaderSize:])) < at+8 {
			continue
		}
		if v := binary.LittleEndian.Uint64(data[at:]); v >= uint64(h.at+h.count*h.record) && v < uint64(end) && v > 0 {
			end = int64(v) // less than end
		}
	}
	return end
}

// lasVLRRecords yields the variable length records that are within the file: user ID, record ID and content.
func lasVLRRecords(data []byte) iter.Seq[lasVLR] {
	return func(yield func(lasVLR) bool) {
		le := binary.LittleEndian
		at := int(le.Uint16(data[lasHeaderSize:]))
		for range min(le.Uint32(data[lasVLRs:]), lasMaxVLRs) {
			if at+lasVLRHeader > len(data) {
				return
			}
			head := data[at:]
			size := int(le.Uint16(head[20:]))
			user, _, _ := strings.Cut(string(head[2:18]), "\x00")
			at += lasVLRHeader + size
			if at > len(data) || !yield(lasVLR{user, le.Uint16(head[18:]), head[lasVLRHeader : lasVLRHeader+size]}) {
				return
			}
		}
	}
}

type lasVLR struct {
	user    string
	record  uint16
	content []byte
}

// lasExtraNames returns the names of the extra bytes that the variable length records describe.
func lasExtraNames(data []byte) []string {
	var names []string
	for v := range lasVLRRecords(data) {
		if v.user != "LASF_Spec" || v.record != lasExtraBytes {
			continue
		}
		for d := v.content; len(d) >= lasExtraByteSize; d = d[lasExtraByteSize:] {
			name, _, _ := strings.Cut(string(d[4:36]), "\x00")
			names = append(names, strings.ToValidUTF8(name, "?"))
		}
	}
	return names
}
