package lidar

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// lasField returns a function that reads a field of a record of a point format, or nil. Names are those of lasFormats.
// The layouts are those of tables 7 to 17 of the LAS 1.4 specification, R15.
func lasField(format int, name string) func(r []byte) float64 {
	bits := func(at, shift, width int) func(r []byte) float64 {
		return func(r []byte) float64 { return float64(int(r[at]) >> shift & (1<<width - 1)) }
	}
	short := func(at int) func(r []byte) float64 {
		return func(r []byte) float64 { return float64(binary.LittleEndian.Uint16(r[at:])) }
	}
	time := func(at int) func(r []byte) float64 {
		return func(r []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(r[at:])) }
	}
	if format < 6 {
		return map[string]func(r []byte) float64{
			"return_number": bits(14, 0, 3), "number_of_returns": bits(14, 3, 3), "scan_direction": bits(14, 6, 1),
			"edge_of_flight_line": bits(14, 7, 1), "classification": bits(15, 0, 5),
			"scan_angle_rank": func(r []byte) float64 { return float64(int8(r[16])) },
			"user_data":       bits(17, 0, 8), "point_source_id": short(18), "gps_time": time(20),
		}[name]
	}
	return map[string]func(r []byte) float64{
		"return_number": bits(14, 0, 4), "number_of_returns": bits(14, 4, 4), "classification_flags": bits(15, 0, 4),
		"scanner_channel": bits(15, 4, 2), "scan_direction": bits(15, 6, 1), "edge_of_flight_line": bits(15, 7, 1),
		"classification": bits(16, 0, 8), "user_data": bits(17, 0, 8),
		"scan_angle":      func(r []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(r[18:]))) * 0.006 },
		"point_source_id": short(20), "gps_time": time(22), "nir": short(36),
	}[name]
}

// lasFields adds the fields of the records that o asks for to a cloud.
func lasFields(p *ingest.PointCloud, body []byte, h *lasHeader, o ingest.Options) error {
	if len(o.Fields) == 0 {
		return nil
	}
	for name := range strings.FieldsSeq(lasFormats[h.format].fields) {
		read := lasField(h.format, name)
		if read == nil || !o.Keeps(name) {
			continue
		}
		values, err := ingest.Make[float64](o, p.Len())
		if err != nil {
			return err
		}
		for i := range values {
			values[i] = read(body[i*int(h.record):])
		}
		p.Fields = append(p.Fields, ingest.Field{Name: name, Values: values})
	}
	return nil
}
