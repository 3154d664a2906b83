package packets

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
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
	// Limits for a sensor's metadata; the largest sensor has 128 beams and 4096 columns per sweep.
	ousterMaxBeams   = 1024
	ousterMaxColumns = 65536
	ousterMaxPacket  = 1024
	ousterLidar      = 1 // packet type
	ousterMaxMeta    = 16 << 20
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

// ousterProfiles are the pixels of each profile, as in parsing.cpp of the Ouster SDK. Where there are two returns per
// pixel, they are in the order that the sensor is configured for, by default the stronger one first.
var ousterProfiles = map[string]ousterProfile{
	"LEGACY": {12, []func([]byte) echo{func(b []byte) echo {
		return echo{binary.LittleEndian.Uint32(b) & 0xfffff, float32(binary.LittleEndian.Uint16(b[4:]))}
	}}, true},
	"RNG19_RFL8_SIG16_NIR16":            {12, []func([]byte) echo{ouster19(0, 4)}, false},
	"RNG19_RFL8_SIG16_NIR16_ZONE16":     {12, []func([]byte) echo{ouster19(0, 4)}, false},
	"RNG19_RFL8_SIG16_NIR16_RGB16":      {16, []func([]byte) echo{ouster19(0, 3)}, false},
	"RNG19_RFL8_SIG16_NIR16_DUAL":       {16, []func([]byte) echo{ouster19(0, 3), ouster19(4, 7)}, false},
	"RNG19_RFL8_SIG16_ZONE16_DUAL":      {16, []func([]byte) echo{ouster19(0, 3), ouster19(4, 7)}, false},
	"RNG19_RFL8_SIG16_NIR16_RGB16_DUAL": {20, []func([]byte) echo{ouster19(0, 3), ouster19(4, 7)}, false},
	"FIVE_WORD_PIXEL":                   {20, []func([]byte) echo{ouster19(0, 3), ouster19(4, 7)}, false},
	"RNG15_RFL8_NIR8":                   {4, []func([]byte) echo{ouster15(0)}, false},
	"RNG15_RFL8_WIN8":                   {4, []func([]byte) echo{ouster15(0)}, false},
	"RNG15_RFL8_NIR8_ZONE16":            {8, []func([]byte) echo{ouster15(0)}, false},
	"RNG15_RFL8_NIR8_DUAL":              {8, []func([]byte) echo{ouster15(0), ouster15(4)}, false},
	ousterFuSa:                          {8, []func([]byte) echo{ouster15(0), ouster15(4)}, false},
}

// ousterFuSa is the profile that implies the packet header of functional safety.
const ousterFuSa = "FUSA_RNG15_RFL8_NIR8_DUAL"

// ouster19 reads a range of 19 bits and a reflectivity byte at their offsets.
func ouster19(at, reflectivity int) func([]byte) echo {
	return func(b []byte) echo {
		return echo{binary.LittleEndian.Uint32(b[at:]) & 0x7ffff, float32(b[reflectivity])}
	}
}

// ouster15 reads a range of 15 bits in units of 8 mm, followed by a reflectivity byte.
func ouster15(at int) func([]byte) echo {
	return func(b []byte) echo {
		return echo{uint32(binary.LittleEndian.Uint16(b[at:])&0x7fff) * 8, float32(b[at+2])}
	}
}

// ousterHeader says where a packet's header holds the frame and the sensor. All but legacy packets have one.
type ousterHeader struct {
	frame, frameBytes int
	serial            int // offset of 5 bytes
}

var (
	ousterStandard = ousterHeader{frame: 2, frameBytes: 2, serial: 7}
	ousterSafety   = ousterHeader{frame: 4, frameBytes: 4, serial: 11}
)

// frames returns the number of frame ids, which wrap.
func (h ousterHeader) frames() int { return 1 << (8 * h.frameBytes) }

func littleEndian(b []byte) (v uint64) {
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// ousterMeta is the part of a sensor's metadata that is needed, in the old flat and the newer nested form.
type ousterMeta struct {
	file  string // base name; empty if it is not from a file
	bytes int    // size of a packet
	taken bool   // the file has the name of another recording: only its serial number can say that it fits

	Line       string           `json:"prod_line"`
	Serial     ousterNumber     `json:"prod_sn"`
	Port       ousterNumber     `json:"udp_port_lidar"`
	Altitude   []float64        `json:"beam_altitude_angles"`
	Azimuth    []float64        `json:"beam_azimuth_angles"`
	Origin     float64          `json:"lidar_origin_to_beam_origin_mm"`
	ToLidar    []float64        `json:"beam_to_lidar_transform"`
	Transform  []float64        `json:"lidar_to_sensor_transform"`
	Mode       string           `json:"lidar_mode"`
	Format     ousterDataFormat `json:"data_format"`
	FormatNew  ousterDataFormat `json:"lidar_data_format"`
	SensorInfo struct {
		Line   string       `json:"prod_line"`
		Serial ousterNumber `json:"prod_sn"`
	} `json:"sensor_info"`
	Intrinsics struct {
		Altitude []float64 `json:"beam_altitude_angles"`
		Azimuth  []float64 `json:"beam_azimuth_angles"`
		Origin   float64   `json:"lidar_origin_to_beam_origin_mm"`
		ToLidar  []float64 `json:"beam_to_lidar_transform"`
	} `json:"beam_intrinsics"`
	Lidar struct {
		Transform []float64 `json:"lidar_to_sensor_transform"`
	} `json:"lidar_intrinsics"`
	Config struct {
		Mode    string       `json:"lidar_mode"`
		Port    ousterNumber `json:"udp_port_lidar"`
		Profile string       `json:"udp_profile_lidar"`
	} `json:"config_params"`
}

type ousterDataFormat struct {
	Columns   int    `json:"columns_per_frame"`
	PerPacket int    `json:"columns_per_packet"`
	Pixels    int    `json:"pixels_per_column"`
	Profile   string `json:"udp_profile_lidar"`
	Header    string `json:"header_type"`
}

// ousterNumber is a number that may be in quotes; anything else is 0.
type ousterNumber uint64

// UnmarshalJSON never fails.
func (n *ousterNumber) UnmarshalJSON(b []byte) error {
	v, _ := strconv.ParseUint(strings.Trim(string(b), `" `), 10, 64)
	*n = ousterNumber(v)
	return nil
}

func parseOusterMeta(data []byte) (*ousterMeta, error) {
	var m ousterMeta
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if len(m.Altitude) == 0 {
		m.Altitude, m.Azimuth, m.Origin = m.Intrinsics.Altitude, m.Intrinsics.Azimuth, m.Intrinsics.Origin
		m.Line, m.Mode, m.Format, m.Transform = m.SensorInfo.Line, m.Config.Mode, m.FormatNew, m.Lidar.Transform
		m.Serial, m.Port, m.ToLidar = m.SensorInfo.Serial, m.Config.Port, m.Intrinsics.ToLidar
	}
	if len(m.Altitude) == 0 {
		return nil, errNotOuster
	}
	f := &m.Format
	if f.Profile == "" {
		f.Profile = m.Config.Profile
	}
	if f.Profile == "" {
		f.Profile = "LEGACY"
	}
	if f.PerPacket == 0 {
		f.PerPacket = 16
	}
	if f.Columns == 0 {
		// "1024x10": columns per sweep and sweeps per second.
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
		return nil, fmt.Errorf("found %d columns per sweep and %d per packet, limits %d and %d", f.Columns,
			f.PerPacket, ousterMaxColumns, ousterMaxPacket)
	}
	if _, ok := ousterProfiles[f.Profile]; !ok {
		return nil, fmt.Errorf("udp_profile_lidar: found %.40q, want %s", f.Profile,
			strings.Join(slices.Sorted(maps.Keys(ousterProfiles)), ", "))
	}
	m.bytes = m.size()
	return &m, nil
}

// offset returns the distance of the beams' origin from the lidar's, along x and z in millimetres, and its length.
// The newer transform says both; the older number is along x.
func (m *ousterMeta) offset() (x, z, length float64) {
	if len(m.ToLidar) != 16 {
		return m.Origin, 0, m.Origin
	}
	return m.ToLidar[3], m.ToLidar[11], math.Hypot(m.ToLidar[3], m.ToLidar[11])
}

func (m *ousterMeta) profile() ousterProfile { return ousterProfiles[m.Format.Profile] }

// header returns the layout of the packets' header.
func (m *ousterMeta) header() ousterHeader {
	if m.Format.Profile == ousterFuSa || m.Format.Header == "FUSA" {
		return ousterSafety
	}
	return ousterStandard
}

// column and size return the bytes of a column and of a packet.
func (m *ousterMeta) column() int {
	if p := m.profile(); !p.legacy {
		return ousterNewColumn + m.Format.Pixels*p.pixel
	}
	return ousterLegacyColumn + m.Format.Pixels*m.profile().pixel + ousterLegacyStatus
}

func (m *ousterMeta) size() int {
	if m.profile().legacy {
		return m.Format.PerPacket * m.column()
	}
	return ousterPacketHeader + m.Format.PerPacket*m.column() + ousterPacketFooter
}

// fits reports whether a packet has the size, and the type if it says any, of the sensor's.
func (m *ousterMeta) fits(b []byte) bool {
	return len(b) == m.bytes && (m.profile().legacy || b[0] <= ousterLidar)
}

// serial returns the serial number in a packet that fits; 0 if it has none.
func (m *ousterMeta) serial(b []byte) uint64 {
	if m.profile().legacy {
		return 0
	}
	return littleEndian(b[m.header().serial:][:5])
}

func (m *ousterMeta) model() string {
	if m.Line == "" {
		return "Ouster"
	}
	return "Ouster " + m.Line
}

// chooseMeta returns the metadata of the sensor that sent a packet: that with its serial number or, if one of them
// has none, that of its size and port. If forced, other serial numbers are accepted.
func chooseMeta(metas []*ousterMeta, p packet, forced bool, o ingest.Options) (*ousterMeta, error) {
	var open, other []*ousterMeta
	for _, m := range metas {
		if !m.fits(p.data) {
			continue
		}
		switch serial := m.serial(p.data); {
		case serial != 0 && serial == uint64(m.Serial):
			return m, nil
		case m.taken:
		case serial == 0 || m.Serial == 0:
			open = append(open, m)
		default:
			other = append(other, m)
		}
	}
	if len(open) > 1 {
		atPort := slices.DeleteFunc(slices.Clone(open), func(m *ousterMeta) bool { return int(m.Port) != int(p.port) })
		if len(atPort) == 1 {
			open = atPort
		}
	}
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(open) > 1:
		var names []string
		for _, m := range open {
			names = append(names, m.file)
		}
		return nil, fmt.Errorf(
			"found several files of metadata that fit, %s; choose one with --calibration",
			list(names),
		)
	case len(other) == 0:
		return nil, fmt.Errorf("found packets of an Ouster of %d bytes, but no metadata of that sensor, which is to be "+
			"beside the recording, with its name and the extension %s", len(p.data), metaExt)
	}
	m := other[0]
	reason := fmt.Errorf("found packets of the Ouster with serial number %d, but the metadata %s is that of %d",
		m.serial(p.data), m.file, m.Serial)
	if !forced {
		return nil, fmt.Errorf("%w; --calibration FILE decodes them with another file", reason)
	}
	o.Note("%v", reason)
	return m, nil
}

// ousterSize reports whether datagrams of this size may be those of an Ouster of 16 to 128 beams.
func ousterSize(n int) bool {
	for beams := 16; beams <= 128; beams *= 2 {
		m := ousterMeta{Format: ousterDataFormat{Pixels: beams, PerPacket: 16}}
		for m.Format.Profile = range ousterProfiles {
			if m.size() == n {
				return true
			}
		}
	}
	return false
}

// ousterDecoder decodes packets into sweeps; a sweep has one frame id.
type ousterDecoder struct {
	collector

	meta    *ousterMeta
	profile ousterProfile
	header  ousterHeader
	size    int // of a packet
	column  int // bytes of a column
	turns   []sinCos
	beams   []ousterBeam
	frame   int // id; -1 initially
	frames  int // number of ids, which wrap
	column0 int // number of the first column of the next packet
}

// ousterBeam is the direction of a beam: its altitude, and the angle added to the encoder's.
type ousterBeam struct{ sinAlt, cosAlt, sinAz, cosAz float64 }

func newOusterDecoder(m *ousterMeta) *ousterDecoder {
	d := &ousterDecoder{
		meta: m, profile: m.profile(), header: m.header(), size: m.size(), column: m.column(), frame: -1,
		frames: m.header().frames(),
	}
	f := m.Format
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

func (d *ousterDecoder) fits(p packet) bool { return d.meta.fits(p.data) }

func (d *ousterDecoder) sensor() string { return d.meta.model() }

// columnAt returns column k of a packet: its pixels, its number in the sweep, and whether the sensor marked it
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
	return int(littleEndian(b[d.header.frame:][:d.header.frameBytes]))
}

// add decodes a packet of the right size.
func (d *ousterDecoder) add(p packet) (done *sweep, err error) {
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

// clock returns the time of column k of a packet. The sensor's nanoseconds are Unix time if it is synchronized.
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
// that starts with a later column than 0 is a window of a sweep, so only gaps within a frame and whole missing
// frames count.
func (d *ousterDecoder) lost(b []byte, id int) (n int) {
	_, column, _ := d.columnAt(b, 0)
	perPacket := d.meta.Format.PerPacket
	if d.frame >= 0 {
		switch frames := (id - d.frame + d.frames) % d.frames; {
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
//	x = (r - n) cos(t + a) cos(h) + u cos(t),  y = (r - n) sin(t + a) cos(h) + u sin(t),  z = (r - n) sin(h) + w
//
// with t the encoder's angle, a the beam's azimuth, h its altitude, and u and w the parts of n along x and z. The
// metadata's transform (rows, millimetres) converts these to the sensor's axes: x away from the connector, y left, z
// up.
func (d *ousterDecoder) measure(pixels []byte, t *sinCos) {
	xs, ys, zs, intensity, at := d.grow(len(d.beams) * len(d.profile.returns))
	u, w, n := d.meta.offset()
	u, w, n = u/1000, w/1000, n/1000
	m := (*[16]float64)(d.meta.Transform)
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
			x, y, z := flat*(t.cos*b.cosAz-t.sin*b.sinAz)+u*t.cos, flat*(t.sin*b.cosAz+t.cos*b.sinAz)+u*t.sin, r*b.sinAlt+w
			xs[at], ys[at], zs[at] = x*m[0]+y*m[1]+z*m[2]+m[3]/1000, x*m[4]+y*m[5]+z*m[6]+m[7]/1000,
				x*m[8]+y*m[9]+z*m[10]+m[11]/1000
			intensity[at] = e.reflectivity
			at++
		}
	}
	d.keep(xs, ys, zs, intensity, at)
}

// readOusterMeta reads a sensor's metadata.
func readOusterMeta(name string) (*ousterMeta, error) {
	data, err := ingest.ReadFile(name, ingest.Options{MaxBytes: ousterMaxMeta})
	if err != nil {
		return nil, err
	}
	m, err := parseOusterMeta(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m.file = filepath.Base(name)
	return m, nil
}
