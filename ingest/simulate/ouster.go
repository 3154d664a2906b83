package simulate

import (
	"encoding/binary"
	"encoding/json"
	"iter"
	"math"
	"time"
)

// An Ouster OS-1-64 in the mode 1024x10. In the profile RNG19_RFL8_SIG16_NIR16 a packet has a header and a footer
// of 32 bytes and 16 columns, each of 12 bytes and 64 pixels of 12; in LEGACY it is 16 columns of 16 bytes, the
// pixels and a status of 4 (Ouster Firmware User Manual, "Lidar Data Packet Format").
const (
	ousterBeams        = 64
	ousterColumns      = 1024
	ousterPerPacket    = 16
	ousterPixels       = 12 * ousterBeams
	ousterHeader       = 32
	ousterColumn       = 12 + ousterPixels
	ousterSize         = ousterHeader + ousterPerPacket*ousterColumn + 32
	ousterLegacyColumn = 16 + ousterPixels + 4
	ousterLegacySize   = ousterPerPacket * ousterLegacyColumn
	ousterTicks        = 90112 // of the encoder, per sweep
	ousterTurns        = 10    // a second
	ousterPerTurn      = ousterColumns / ousterPerPacket
	ousterOrigin       = 15.806
)

// Ouster is an Ouster OS-1-64 that rotates ten times per second.
type Ouster struct {
	// Legacy selects the packet format of firmware before 2.2.
	Legacy bool
}

func (o Ouster) profile() string {
	if o.Legacy {
		return "LEGACY"
	}
	return "RNG19_RFL8_SIG16_NIR16"
}

// ousterAltitude returns the altitude of beam i in degrees.
func ousterAltitude(i int) float64 { return 22.5 - 45*float64(i)/(ousterBeams-1) }

// Metadata returns the sensor's metadata as JSON, which a receiver needs.
func (o Ouster) Metadata() ([]byte, error) {
	altitudes, azimuths := make([]float64, ousterBeams), make([]float64, ousterBeams)
	for i := range altitudes {
		altitudes[i] = ousterAltitude(i)
	}
	return json.Marshal(map[string]any{
		"prod_line": "OS-1-64", "lidar_mode": "1024x10", "beam_altitude_angles": altitudes, "beam_azimuth_angles": azimuths,
		"lidar_origin_to_beam_origin_mm": ousterOrigin,
		"data_format": map[string]any{
			"columns_per_frame": ousterColumns, "columns_per_packet": ousterPerPacket, "pixels_per_column": ousterBeams,
			"udp_profile_lidar": o.profile(),
		},
	})
}

// Packets returns the endless sequence of packets that the sensor sends in a scene, from start. The memory of a
// packet is reused for the next. The scene stands still during a sweep. The axes are Ouster's: x away from the
// connector, y left.
func (o Ouster) Packets(s Scene, start time.Time) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		fill, b := fillOuster, make([]byte, ousterSize)
		if o.Legacy {
			fill, b = fillLegacy, make([]byte, ousterLegacySize)
		}
		view := View(nil)
		for n := 0; ; n++ {
			after := time.Duration(n) * time.Second / (ousterTurns * ousterPerTurn)
			if n%ousterPerTurn == 0 {
				view = s.At(after)
			}
			fill(b, n, start.Add(after), view)
			if !yield(Packet{after, b}, nil) {
				return
			}
		}
	}
}

// fillOuster writes packet n, which starts at time at.
func fillOuster(b []byte, n int, at time.Time, v View) {
	binary.LittleEndian.PutUint16(b, 1) // a packet of measurements
	binary.LittleEndian.PutUint16(b[2:], uint16(n/ousterPerTurn))
	for k := range ousterPerPacket {
		column := b[ousterHeader+k*ousterColumn:][:ousterColumn]
		fillColumn(column, column[12:], n, k, at, v)
		column[10] = 1 // valid
	}
}

// fillLegacy writes packet n, which starts at time at, in the profile LEGACY.
func fillLegacy(b []byte, n int, at time.Time, v View) {
	for k := range ousterPerPacket {
		column := b[k*ousterLegacyColumn:][:ousterLegacyColumn]
		id := fillColumn(column, column[16:], n, k, at, v)
		binary.LittleEndian.PutUint16(column[10:], uint16(n/ousterPerTurn))
		binary.LittleEndian.PutUint32(column[12:], uint32(id*(ousterTicks/ousterColumns)))
		binary.LittleEndian.PutUint32(column[ousterLegacyColumn-4:], math.MaxUint32) // valid
	}
}

// fillColumn writes the parts of column k of packet n that all profiles have: its time, its number in the sweep,
// which it returns, and its pixels.
func fillColumn(column, pixels []byte, n, k int, at time.Time, v View) (id int) {
	id = n%ousterPerTurn*ousterPerPacket + k
	taken := at.Add(time.Duration(k) * time.Second / (ousterTurns * ousterColumns))
	binary.LittleEndian.PutUint64(column, uint64(taken.UnixNano()))
	binary.LittleEndian.PutUint16(column[8:], uint16(id))
	sinT, cosT := math.Sincos(2 * math.Pi * (1 - float64(id)/ousterColumns))
	for i := range ousterBeams {
		h := v.Cast([3]float64{ousterArm * cosT, ousterArm * sinT}, ousterRay(i, sinT, cosT))
		r := math.Round((h.Range + ousterArm) * 1000)
		if r >= 1<<19 {
			r = 0 // out of range
		}
		px := pixels[12*i:]
		binary.LittleEndian.PutUint32(px, uint32(r))
		px[4] = reflectivity(h)
	}
	return id
}

// ousterArm is how far from the axis beams start, in metres. A range is measured from the axis: from the axis to the
// start of the beam, then along the beam.
const ousterArm = ousterOrigin / 1000

// ousterRay returns the direction of beam i at an azimuth.
func ousterRay(i int, sinT, cosT float64) [3]float64 {
	sinH, cosH := math.Sincos(ousterAltitude(i) * math.Pi / 180)
	return [3]float64{cosH * cosT, cosH * sinT, sinH}
}
