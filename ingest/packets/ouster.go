package packets

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// An Ouster lidar packet is a number of columns, each with a header, the pixels of all beams and, in the legacy
// profile, a trailing status. Since firmware 2.2 a packet has a header and a footer of 32 bytes, and pixels have
// one of several profiles. Everything is little-endian; ranges are in millimetres. Ouster Firmware User Manual,
// "Lidar Data Packet Format".
const (
	ousterPacketHeader = 32
	ousterPacketFooter = 32
	ousterNewColumn    = 12 // timestamp uint64 (ns), measurement id uint16, status uint16
	ousterLegacyColumn = 16 // timestamp uint64, measurement id uint16, frame id uint16, encoder uint32
	ousterLegacyStatus = 4  // 0xffffffff: valid
	ousterPort         = 7502
	// Limits for a sensor's metadata; the largest sensor has 128 beams and 4096 columns per turn.
	ousterMaxBeams   = 1024
	ousterMaxColumns = 65536
	ousterMaxPacket  = 1024
	ousterFrames     = 1 << 16 // number of frame ids, which wrap
)

// ousterProfile describes the encoding of a pixel.
type ousterProfile struct {
	pixel   int                   // bytes
	returns []func(b []byte) echo // one or two
	legacy  bool
}

// echo is a return: millimetres (0 for none) and reflectivity.
type echo struct {
	millimetres  uint32
	reflectivity float32
}

var ousterProfiles = map[string]ousterProfile{
	"LEGACY": {12, []func([]byte) echo{func(b []byte) echo {
		return echo{binary.LittleEndian.Uint32(b) & 0xfffff, float32(binary.LittleEndian.Uint16(b[4:]))}
	}}, true},
	"RNG19_RFL8_SIG16_NIR16": {12, []func([]byte) echo{ouster19(0, 4)}, false},
	// Two returns per pixel, the stronger one first: range 19 bits and reflectivity 8 bits each, in uint32 words.
	"RNG19_RFL8_SIG16_NIR16_DUAL": {16, []func([]byte) echo{ousterPacked(0), ousterPacked(4)}, false},
	"RNG15_RFL8_NIR8": {4, []func([]byte) echo{func(b []byte) echo {
		// The low data rate profile has 15 bits in units of 8 mm.
		return echo{uint32(binary.LittleEndian.Uint16(b)&0x7fff) * 8, float32(b[2])}
	}}, false},
}

// ouster19 reads a range of 19 bits and a reflectivity byte at separate offsets.
func ouster19(at, reflectivity int) func([]byte) echo {
	return func(b []byte) echo {
		return echo{binary.LittleEndian.Uint32(b[at:]) & 0x7ffff, float32(b[reflectivity])}
	}
}

// ousterPacked reads a range of 19 bits with the reflectivity in the word's high byte.
func ousterPacked(at int) func([]byte) echo {
	return func(b []byte) echo {
		return echo{binary.LittleEndian.Uint32(b[at:]) & 0x7ffff, float32(b[at+3])}
	}
}

// ousterMeta is the part of a sensor's metadata that is needed, in the old flat and the newer nested form.
type ousterMeta struct {
	Line       string           `json:"prod_line"`
	Altitude   []float64        `json:"beam_altitude_angles"`
	Azimuth    []float64        `json:"beam_azimuth_angles"`
	Origin     float64          `json:"lidar_origin_to_beam_origin_mm"`
	Transform  []float64        `json:"lidar_to_sensor_transform"`
	Mode       string           `json:"lidar_mode"`
	Format     ousterDataFormat `json:"data_format"`
	FormatNew  ousterDataFormat `json:"lidar_data_format"`
	SensorInfo struct {
		Line string `json:"prod_line"`
	} `json:"sensor_info"`
	Intrinsics struct {
		Altitude []float64 `json:"beam_altitude_angles"`
		Azimuth  []float64 `json:"beam_azimuth_angles"`
		Origin   float64   `json:"lidar_origin_to_beam_origin_mm"`
	} `json:"beam_intrinsics"`
	Lidar struct {
		Transform []float64 `json:"lidar_to_sensor_transform"`
	} `json:"lidar_intrinsics"`
	Config struct {
		Mode string `json:"lidar_mode"`
	} `json:"config_params"`
}

type ousterDataFormat struct {
	Columns   int    `json:"columns_per_frame"`
	PerPacket int    `json:"columns_per_packet"`
	Pixels    int    `json:"pixels_per_column"`
	Profile   string `json:"udp_profile_lidar"`
}

func parseOusterMeta(data []byte) (*ousterMeta, error) {
	var m ousterMeta
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if len(m.Altitude) == 0 {
		m.Altitude, m.Azimuth, m.Origin = m.Intrinsics.Altitude, m.Intrinsics.Azimuth, m.Intrinsics.Origin
		m.Line, m.Mode, m.Format, m.Transform = m.SensorInfo.Line, m.Config.Mode, m.FormatNew, m.Lidar.Transform
	}
	f := &m.Format
	if f.Profile == "" {
		f.Profile = "LEGACY"
	}
	if f.PerPacket == 0 {
		f.PerPacket = 16
	}
	if f.Columns == 0 {
		// "1024x10": columns per turn and turns per second.
		if _, err := fmt.Sscanf(m.Mode, "%dx", &f.Columns); err != nil {
			return nil, fmt.Errorf("lidar_mode: found %.20q, want a mode such as 1024x10", m.Mode)
		}
	}
	if f.Pixels == 0 {
		f.Pixels = len(m.Altitude)
	}
	if m.Transform == nil {
		m.Transform = []float64{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}
	}
	switch {
	case len(m.Transform) != 16:
		return nil, fmt.Errorf("lidar_to_sensor_transform: found %d numbers, want 16", len(m.Transform))
	case f.Pixels < 1 || f.Pixels > ousterMaxBeams || len(m.Altitude) != f.Pixels || len(m.Azimuth) != f.Pixels:
		return nil, fmt.Errorf("found %d pixels per column, %d altitudes and %d azimuths, want the same number of "+
			"each, at most %d", f.Pixels, len(m.Altitude),
			len(m.Azimuth), ousterMaxBeams)
	case f.Columns < 1 || f.Columns > ousterMaxColumns || f.PerPacket < 1 || f.PerPacket > ousterMaxPacket:
		return nil, fmt.Errorf("found %d columns per turn and %d per packet, limits %d and %d", f.Columns,
			f.PerPacket, ousterMaxColumns, ousterMaxPacket)
	}
	if _, ok := ousterProfiles[f.Profile]; !ok {
		return nil, fmt.Errorf("udp_profile_lidar: found %.40q, want LEGACY, RNG19_RFL8_SIG16_NIR16, "+
			"RNG19_RFL8_SIG16_NIR16_DUAL or RNG15_RFL8_NIR8", f.Profile)
	}
	return &m, nil
}

// ousterDecoder decodes packets into turns; a turn has one frame id.
type ousterDecoder struct {
	sweep

	meta    *ousterMeta
	profile ousterProfile
	size    int // of a packet
	column  int // bytes of a column
	turns   []sinCos
	beams   []ousterBeam
	frame   int // id; -1 initially
	column0 int // number of the first column of the next packet
}

// ousterBeam is the direction of a beam: its altitude, and the angle added to the encoder's.
type ousterBeam struct{ sinAlt, cosAlt, sinAz, cosAz float64 }

func newOusterDecoder(m *ousterMeta) *ousterDecoder {
	d := &ousterDecoder{meta: m, profile: ousterProfiles[m.Format.Profile], frame: -1}
	f := m.Format
	if d.profile.legacy {
		d.column = ousterLegacyColumn + f.Pixels*d.profile.pixel + ousterLegacyStatus
		d.size = f.PerPacket * d.column
	} else {
		d.column = ousterNewColumn + f.Pixels*d.profile.pixel
		d.size = ousterPacketHeader + f.PerPacket*d.column + ousterPacketFooter
	}
	d.turns = make([]sinCos, f.Columns)
	for i := range d.turns {
		// The sensor turns clockwise seen from above.
		s, c := math.Sincos(2 * math.Pi * (1 - float64(i)/float64(f.Columns)))
		d.turns[i] = sinCos{s, c}
	}
	d.beams = make([]ousterBeam, f.Pixels)
	for i := range d.beams {
		b := &d.beams[i]
		b.sinAlt, b.cosAlt = math.Sincos(m.Altitude[i] * math.Pi / 180)
		b.sinAz, b.cosAz = math.Sincos(-m.Azimuth[i] * math.Pi / 180)
	}
	return d
}

func (d *ousterDecoder) fits(p packet) bool { return len(p.data) == d.size }

func (d *ousterDecoder) sensor() string {
	if d.meta.Line == "" {
		return "Ouster"
	}
	return "Ouster " + d.meta.Line
}

// columnAt returns column k of a packet: its pixels, its number in the turn, and whether the sensor marked it
// valid.
func (d *ousterDecoder) columnAt(b []byte, k int) (pixels []byte, id int, valid bool) {
	if d.profile.legacy {
		c := b[k*d.column:][:d.column]
		return c[ousterLegacyColumn:], int(binary.LittleEndian.Uint16(c[8:])),
			binary.LittleEndian.Uint32(c[d.column-ousterLegacyStatus:]) == 0xffffffff
	}
	c := b[ousterPacketHeader+k*d.column:][:d.column]
	return c[ousterNewColumn:], int(binary.LittleEndian.Uint16(c[8:])), c[10]&1 != 0
}

func (d *ousterDecoder) frameID(b []byte) int {
	if d.profile.legacy {
		return int(binary.LittleEndian.Uint16(b[10:]))
	}
	return int(binary.LittleEndian.Uint16(b[2:]))
}

// add decodes a packet of the right size.
func (d *ousterDecoder) add(p packet) (done *turn, err error) {
	d.count.Packets++
	id := d.frameID(p.data)
	d.count.Lost += d.lost(p.data, id)
	if id != d.frame {
		done, d.frame = d.rest(), id
	}
	d.begin(d.clock(p, 0))
	for k := range d.meta.Format.PerPacket {
		if d.motion != nil {
			d.now(d.clock(p, k))
		}
		pixels, id, valid := d.columnAt(p.data, k)
		if valid && id < len(d.turns) {
			d.measure(pixels, &d.turns[id])
		}
	}
	return done, nil
}

// clock returns the time of column k of a packet. The sensor's nanoseconds are Unix time if it is synchronised.
// Otherwise they count from its start, and the recording time is returned.
func (d *ousterDecoder) clock(p packet, k int) time.Time {
	at := k * d.column
	if !d.profile.legacy {
		at += ousterPacketHeader
	}
	return plausible(int64(min(binary.LittleEndian.Uint64(p.data[at:]), math.MaxInt64)/1e9),
		int64(binary.LittleEndian.Uint64(p.data[at:])%1e9), p.time)
}

// lost returns the number of packets missing before b, of frame id, from the columns between the packets. A frame
// that starts with a later column than 0 is a window of a turn, so only gaps within a frame and whole missing
// frames count.
func (d *ousterDecoder) lost(b []byte, id int) (n int) {
	_, column, _ := d.columnAt(b, 0)
	perPacket := d.meta.Format.PerPacket
	if d.frame >= 0 {
		switch frames := (id - d.frame + ousterFrames) % ousterFrames; {
		case frames == 0:
			n = (column - d.column0) / perPacket
		case frames <= maxGap:
			n = (frames - 1) * (d.meta.Format.Columns / perPacket)
		}
	}
	d.column0 = column + perPacket
	return max(0, n)
}

// measure adds the returns of a column. A range is measured from the lidar's axis; the beam starts at the distance
// n from it:
//
//	x = (r - n) cos(t + a) cos(h) + n cos(t),  y = (r - n) sin(t + a) cos(h) + n sin(t),  z = (r - n) sin(h)
//
// with t the encoder's angle, a the beam's azimuth and h its altitude. The metadata's transform (rows, millimetres)
// converts these to the sensor's axes: x away from the connector, y left, z up.
func (d *ousterDecoder) measure(pixels []byte, t *sinCos) {
	xs, ys, zs, intensity, at := d.grow(len(d.beams) * len(d.profile.returns))
	n, m := d.meta.Origin/1000, (*[16]float64)(d.meta.Transform)
	for i := range d.beams {
		px := pixels[i*d.profile.pixel:][:d.profile.pixel]
		for k, read := range d.profile.returns {
			e := read(px)
			if e.millimetres == 0 {
				continue
			}
			if k == 1 && e.millimetres == d.profile.returns[0](px).millimetres {
				continue // the same echo
			}
			b := &d.beams[i]
			r := float64(e.millimetres)/1000 - n
			flat := r * b.cosAlt
			x, y, z := flat*(t.cos*b.cosAz-t.sin*b.sinAz)+n*t.cos, flat*(t.sin*b.cosAz+t.cos*b.sinAz)+n*t.sin, r*b.sinAlt
			xs[at], ys[at], zs[at] = x*m[0]+y*m[1]+z*m[2]+m[3]/1000, x*m[4]+y*m[5]+z*m[6]+m[7]/1000,
				x*m[8]+y*m[9]+z*m[10]+m[11]/1000
			intensity[at] = e.reflectivity
			at++
		}
	}
	d.keep(xs, ys, zs, intensity, at)
}

// ousterBeside reads the metadata file of a recording: the same name with .json. If there is none, it returns
// errNoMeta.
func ousterBeside(path string) (*ousterMeta, error) {
	name := strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
	if _, err := os.Stat(name); err != nil {
		return nil, errNoMeta
	}
	return readOusterMeta(name)
}

// readOusterMeta reads a sensor's metadata.
func readOusterMeta(name string) (*ousterMeta, error) {
	data, err := ingest.ReadFile(name, ingest.Options{MaxBytes: 16 << 20})
	if err != nil {
		return nil, err
	}
	m, err := parseOusterMeta(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

var errNoMeta = errors.New("no sensor metadata found; put it next to the recording, with the same name and the " +
	"extension .json")
