package simulate

import (
	"encoding/binary"
	"encoding/json"
	"iter"
	"math"
	"time"
)

// An Ouster OS-1-64 in the mode 1024x10 with the profile RNG19_RFL8_SIG16_NIR16: packets of a header and a footer of 32 bytes and 16 columns, each
// of 12 bytes and 64 pixels of 12 (Ouster Firmware User Manual, "Lidar Data Packet Format").
const (
	ousterBeams     = 64
	ousterColumns   = 1024
	ousterPerPacket = 16
	ousterColumn    = 12 + 12*ousterBeams
	ousterHeader    = 32
	ousterSize      = ousterHeader + ousterPerPacket*ousterColumn + 32
	ousterTurns     = 10 // a second
	ousterOrigin    = 15.806
)

// ousterAltitude is where beam i points, in degrees.
func ousterAltitude(i int) float64 { return 22.5 - 45*float64(i)/(ousterBeams-1) }

// OusterMetadata is what the sensor that [Ouster64] plays says of itself, as JSON; a receiver needs it.
func OusterMetadata() ([]byte, error) {
	altitudes, azimuths := make([]float64, ousterBeams), make([]float64, ousterBeams)
	for i := range altitudes {
		altitudes[i] = ousterAltitude(i)
	}
	return json.Marshal(map[string]any{
		"prod_line": "OS-1-64", "lidar_mode": "1024x10", "beam_altitude_angles": altitudes, "beam_azimuth_angles": azimuths,
		"lidar_origin_to_beam_origin_mm": ousterOrigin,
		"data_format": map[string]any{
			"columns_per_frame": ousterColumns, "columns_per_packet": ousterPerPacket, "pixels_per_column": ousterBeams,
			"udp_profile_lidar": "RNG19_RFL8_SIG16_NIR16",
		},
	})
}

// Ouster64 gives the packets of an Ouster OS-1-64 that turns ten times a second in a scene from start on, without end. One packet's memory is
// used for the next. Its axes are Ouster's: x away from the connector, y left.
func Ouster64(s Scene, start time.Time) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		b := make([]byte, ousterSize)
		binary.LittleEndian.PutUint16(b, 1) // a packet of measurements
		ranges := ousterRanges(s)
		const perTurn = ousterColumns / ousterPerPacket
		for n := 0; ; n++ {
			after := time.Duration(n) * time.Second / (ousterTurns * perTurn)
			binary.LittleEndian.PutUint16(b[2:], uint16(n/perTurn))
			for k := range ousterPerPacket {
				id := n%perTurn*ousterPerPacket + k
				column := b[ousterHeader+k*ousterColumn:][:ousterColumn]
				taken := start.Add(after + time.Duration(k)*time.Second/(ousterTurns*ousterColumns))
				binary.LittleEndian.PutUint64(column, uint64(taken.UnixNano()))
				binary.LittleEndian.PutUint16(column[8:], uint16(id))
				column[10] = 1 // valid
				for i := range ousterBeams {
					px := column[12+12*i:]
					binary.LittleEndian.PutUint32(px, ranges[id*ousterBeams+i])
					px[4] = 100
				}
			}
			if !yield(Packet{after, b}, nil) {
				return
			}
		}
	}
}

// ousterRanges are the ranges of all beams of a turn in millimetres, by column and beam. The sensor does not move, so turns are alike. A range
// counts from the axis: along the axis's direction to where the beam begins, then along the beam.
func ousterRanges(s Scene) []uint32 {
	out := make([]uint32, ousterColumns*ousterBeams)
	const n = ousterOrigin / 1000
	for id := range ousterColumns {
		sinT, cosT := math.Sincos(2 * math.Pi * (1 - float64(id)/ousterColumns))
		for i := range ousterBeams {
			sinH, cosH := math.Sincos(ousterAltitude(i) * math.Pi / 180)
			r := s.Range(vec{n * cosT, n * sinT}, vec{cosH * cosT, cosH * sinT, sinH}) + n
			out[id*ousterBeams+i] = uint32(min(math.Round(r*1000), 1<<19-1))
		}
	}
	return out
}
