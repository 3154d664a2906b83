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

// An Ouster lidar packet is so many columns, each of a header, the pixels of all beams and, in the legacy profile,
// a status behind them. Since firmware 2.2 a packet has a header and a footer of 32 bytes, and the pixels one of
// several profiles. All little endian; ranges are millimetres. Ouster Firmware User Manual, "Lidar Data Packet
// Format".
const (
	ousterPacketHeader = 32
	ousterPacketFooter = 32
	ousterNewColumn    = 12 // timestamp uint64 (ns), measurement id uint16, status uint16
	ousterLegacyColumn = 16 // timestamp uint64, measurement id uint16, frame id uint16, encoder uint32
	ousterLegacyStatus = 4  // 0xffffffff: valid
	ousterPort         = 7502
	// Limits of what a sensor's metadata may say; the largest sensor has 128 beams and 4096 columns a turn.
	ousterMaxBeams   = 1024
	ousterMaxColumns = 65536
	ousterMaxPacket  = 1024
	ousterFrames     = 1 << 16 // ids of frames, which wrap
)

// ousterProfile is how a pixel is stored.
type ousterProfile struct {
	pixel   int                   // bytes
	returns []func(b []byte) echo // one or two
	legacy  bool
}

// echo is what came back: metres (0 for nothing) and the reflectivity.
type echo struct {
	millimetres  uint32
	reflectivity float32
}

var ousterProfiles = map[string]ousterProfile{
	"LEGACY": {12, []func([]byte) echo{func(b []byte) echo {
		return echo{binary.LittleEndian.Uint32(b) & 0xfffff, float32(binary.LittleEndian.Uint16(b[4:]))}
	}}, true},
	"RNG19_RFL8_SIG16_NIR16": {12, []func([]byte) echo{ouster19(0, 4)}, false},
	// Two returns a pixel, the stronger one first: range 19 bits and reflectivity 8 bits each, in uint32 words.
	"RNG19_RFL8_SIG16_NIR16_DUAL": {16, []func([]byte) echo{ousterPacked(0), ousterPacked(4)}, false},
	"RNG15_RFL8_NIR8": {4, []func([]byte) echo{func(b []byte) echo {
		// The low data rate profile keeps 15 bits in units of 8 mm.
		return echo{uint32(binary.LittleEndian.Uint16(b)&0x7fff) * 8, float32(b[2])}
	}}, false},
}

// ouster19 reads a range of 19 bits and a reflectivity byte at different places.
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

// ousterMeta is the part of a sensor's metadata that is needed, in the old flat form and in the newer nested one.
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
		// "1024x10": columns a turn and turns a second.
		if _, err := fmt.Sscanf(m.Mode, "%dx", &f.Columns); err != nil {
			return nil, fmt.Errorf("lidar_mode: found %.20q, want such as 1024x10", m.Mode)
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
		return nil, fmt.Errorf("found %d pixels a column, %d altitudes and %d azimuths, want as many of each, at most %d", f.Pixels, len(m.Altitude),
			len(m.Azimuth), ousterMaxBeams)
	case f.Columns < 1 || f.Columns > ousterMaxColumns || f.PerPacket < 1 || f.PerPacket > ousterMaxPacket:
		return nil, fmt.Errorf("found %d columns a turn and %d a packet, limits %d and %d", f.Columns, f.PerPacket, ousterMaxColumns, ousterMaxPacket)
	}
	if _, ok := ousterProfiles[f.Profile]; !ok {
		return nil, fmt.Errorf("udp_profile_lidar: found %.40q, want LEGACY, RNG19_RFL8_SIG16_NIR16, its _DUAL, or RNG15_RFL8_NIR8", f.Profile)
	}
	return &m, nil
}

// ousterDecoder turns packets into turns; a turn has one frame id.
type ousterDecoder struct {
	sweep

	meta    *ousterMeta
	profile ousterProfile
	size    int // of a packet
	column  int // bytes of a column
	turns   []sinCos
	beams   []ousterBeam
	frame   int // id, -1 at first
	column0 int // number of the column that the next packet begins with
}

// ousterBeam is where a beam points: altitude, and the angle that is added to the encoder's.
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

// columnAt is column k of a packet: its pixels, its number in the turn, and whether the sensor says that it is valid.
func (d *ousterDecoder) columnAt(b []byte, k int) (pixels []byte, id int, valid bool) {
	if d.profile.legacy {
		c := b[k*d.column:][:d.column]
		return c[ousterLegacyColumn:], int(binary.LittleEndian.Uint16(c[8:])), binary.LittleEndian.Uint32(c[d.column-ousterLegacyStatus:]) == 0xffffffff
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

// clock is the time of column k of a packet, nanoseconds: of Unix where the sensor is synchronised, else since its
// start, and then the time of recording is taken.
func (d *ousterDecoder) clock(p packet, k int) time.Time {
	at := k * d.column
	if !d.profile.legacy {
		at += ousterPacketHeader
	}
	return plausible(int64(min(binary.LittleEndian.Uint64(p.data[at:]), math.MaxInt64)/1e9), int64(binary.LittleEndian.Uint64(p.data[at:])%1e9), p.time)
}

// lost is how many packets are missing before b, of frame id: those of the columns between the packets. Frames that
// begin with a later column than 0 are windows of a turn, so only gaps within a frame count, and whole frames by
// their ids.
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

// measure adds the returns of a column. A range counts from the lidar's axis; the beam begins at the distance n
// from it:
//
//	x = (r - n) cos(t + a) cos(h) + n cos(t),  y = (r - n) sin(t + a) cos(h) + n sin(t),  z = (r - n) sin(h)
//
// with t the encoder's angle, a the beam's azimuth and h its altitude. The metadata's transform (rows, millimetres)
// takes these into the sensor's axes: x away from the connector, y left, z up.
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
			xs[at], ys[at], zs[at] = x*m[0]+y*m[1]+z*m[2]+m[3]/1000, x*m[4]+y*m[5]+z*m[6]+m[7]/1000, x*m[8]+y*m[9]+z*m[10]+m[11]/1000
			intensity[at] = e.reflectivity
			at++
		}
	}
	d.keep(xs, ys, zs, intensity, at)
}

// ousterBeside reads the metadata beside a recording: the same name with .json. None is errNoMeta.
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

var errNoMeta = errors.New("found no metadata beside the recording")
