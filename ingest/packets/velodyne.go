package packets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// A Velodyne data packet is 1206 bytes: 12 blocks of 100, each a flag (0xEEFF; 0xDDFF for the lower lasers of an
// HDL-64; 0xEEFF, 0xDDFF, 0xCCFF and 0xBBFF for lasers 0, 32, 64 and 96 on of a VLS-128), the azimuth in hundredths
// of a degree and 32 returns of distance uint16 and intensity uint8; then at 1200 the microseconds past the hour
// uint32, at 1204 the return mode and at 1205 the model. Little endian. VLP-16 User Manual 63-9243, VLP-32C
// 63-9325, HDL-32E 63-9113, VLS-128 63-9483.
const (
	velodyneSize    = 1206
	velodyneBlocks  = 12
	velodyneBlock   = 100
	velodyneReturns = 32
	velodyneTime    = 1200
	velodyneMode    = 1204
	velodyneModel   = 1205
	velodyneUpper   = 0xeeff
	velodyneDual    = 0x39
	velodynePort    = 2368
)

// velodyne describes a model.
type velodyne struct {
	name   string
	lasers int
	unit   float64 // metres per unit of distance
	// channel and firing are the microseconds from laser to laser and from firing to firing. together is the number
	// of lasers that fire at once; after rest such groups there is a pause of one group.
	channel, firing float64
	together, rest  int
	vertical        []float64 // degrees, by laser; nil if they come from a calibration file only
	offset          []float64 // degrees added to the azimuth, by laser; nil if none
}

var velodynes = map[byte]*velodyne{
	0x21: {
		name: "HDL-32E", lasers: 32, unit: 0.002, channel: 1.152, firing: 46.08, together: 1,
		vertical: []float64{
			-30.67, -9.33, -29.33, -8, -28, -6.67, -26.67, -5.33, -25.33, -4, -24, -2.67, -22.67, -1.33, -21.33, 0,
			-20, 1.33, -18.67, 2.67, -17.33, 4, -16, 5.33, -14.67, 6.67, -13.33, 8, -12, 9.33, -10.67, 10.67,
		},
	},
	0x22: {name: "VLP-16", lasers: 16, unit: 0.002, channel: 2.304, firing: 55.296, together: 1, vertical: vlp16Angles},
	0x23: {name: "Puck LITE", lasers: 16, unit: 0.002, channel: 2.304, firing: 55.296, together: 1, vertical: vlp16Angles},
	0x24: {
		name: "Puck Hi-Res", lasers: 16, unit: 0.002, channel: 2.304, firing: 55.296, together: 1,
		vertical: []float64{-10, 0.67, -8.67, 2, -7.33, 3.33, -6, 4.67, -4.67, 6, -3.33, 7.33, -2, 8.67, -0.67, 10},
	},
	// According to the manual the lasers of a VLP-32C fire in pairs, 2.304 us apart. Like Autoware's decoder
	// (Nebula), with whose clouds users compare, we assume that each laser fires 2.304 us after the one before. The
	// azimuths differ by at most 0.13 degrees.
	0x28: {
		name: "VLP-32C", lasers: 32, unit: 0.004, channel: 2.304, firing: 55.296, together: 1,
		vertical: []float64{
			-25, -1, -1.667, -15.639, -11.31, 0, -0.667, -8.843, -7.254, 0.333, -0.333, -6.148, -5.333, 1.333, 0.667, -4,
			-4.667, 1.667, 1, -3.667, -3.333, 3.333, 2.333, -2.667, -3, 7, 4.667, -2.333, -2, 15, 10.333, -1.333,
		},
		offset: []float64{
			1.4, -4.2, 1.4, -1.4, 1.4, -1.4, 4.2, -1.4, 1.4, -4.2, 1.4, -1.4, 4.2, -1.4, 4.2, -1.4,
			1.4, -4.2, 1.4, -4.2, 4.2, -1.4, 1.4, -1.4, 1.4, -1.4, 1.4, -4.2, 4.2, -1.4, 1.4, -1.4,
		},
	},
	0xa1: {
		// Angles: LidarView's correction file for the VLS-128, rounded to the manual's digits.
		name: "VLS-128", lasers: 128, unit: 0.004, channel: 2.665, firing: 53.3, together: 8, rest: 8,
		vertical: []float64{
			-11.742, -1.99, 3.4, -5.29, -0.78, 4.61, -4.08, 1.31, -6.5, -1.11, 4.28, -4.41, 0.1, 6.48, -3.2, 2.19,
			-3.86, 1.53, -9.244, -1.77, 2.74, -5.95, -0.56, 4.83, -2.98, 2.41, -6.28, -0.89, 3.62, -5.07, 0.32, 7.58,
			-0.34, 5.18, -3.64, 1.75, -25, -2.43, 2.96, -5.73, 0.54, 9.7, -2.76, 2.63, -7.65, -1.55, 3.84, -4.85,
			3.18, -5.51, -0.12, 5.73, -4.3, 1.09, -16.042, -2.21, 4.06, -4.63, 0.76, 15, -3.42, 1.97, -6.85, -1.33,
			-5.62, -0.23, 5.43, -3.53, 0.98, -19.582, -2.32, 3.07, -4.74, 0.65, 11.75, -2.65, 1.86, -7.15, -1.44, 3.95,
			-2.1, 3.29, -5.4, -0.01, 4.5, -4.19, 1.2, -13.565, -1.22, 4.17, -4.52, 0.87, 6.08, -3.31, 2.08, -6.65,
			1.42, -10.346, -1.88, 3.51, -6.06, -0.67, 4.72, -3.97, 2.3, -6.39, -1, 4.39, -5.18, 0.21, 6.98, -3.09,
			4.98, -3.75, 1.64, -8.352, -2.54, 2.85, -5.84, -0.45, 8.43, -2.87, 2.52, -6.17, -1.66, 3.73, -4.96, 0.43,
		},
		offset: slices.Repeat([]float64{6.354, 4.548, 2.732, 0.911, -0.911, -2.732, -4.548, -6.354}, 16),
	},
}

// banks returns the number of blocks per firing.
func (m *velodyne) banks() int { return max(1, m.lasers/velodyneReturns) }

// bank returns the first laser of a block, and whether the model has such a block.
func (m *velodyne) bank(flag uint16) (first int, ok bool) {
	for i, f := range []uint16{velodyneUpper, velodyneLower, 0xccff, 0xbbff}[:m.banks()] {
		if flag == f {
			return i * velodyneReturns, true
		}
	}
	return 0, false
}

// fired returns the microseconds from the start of a firing until laser i fires or, if blocks hold several firings,
// until return i.
func (m *velodyne) fired(i int) float64 {
	group := i % m.lasers / m.together
	if m.rest > 0 {
		group += group / m.rest
	}
	return float64(i/m.lasers)*m.firing + float64(group)*m.channel
}

var vlp16Angles = []float64{-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15}

func isVelodyne(p packet) bool {
	return len(p.data) == velodyneSize && binary.LittleEndian.Uint16(p.data) == velodyneUpper
}

// isHDL64 reports whether a packet is of an HDL-64E: its blocks alternate between two banks, and its last byte is
// not the model.
func isHDL64(b []byte) bool {
	return binary.LittleEndian.Uint16(b[velodyneBlock:]) == velodyneLower &&
		binary.LittleEndian.Uint16(b[2*velodyneBlock:]) == velodyneUpper
}

// direction is the direction of a laser: the cosine and sine of its elevation and of its azimuth offset.
type direction struct{ cos, sin, cosOffset, sinOffset float64 }

// turnTable returns the sine and cosine of every azimuth that a packet can contain.
var turnTable = sync.OnceValue(makeTurnTable)

type sinCos struct{ sin, cos float64 }

func makeTurnTable() *[fullTurn]sinCos {
	var t [fullTurn]sinCos
	for i := range t {
		s, c := math.Sincos(float64(i) * math.Pi / (fullTurn / 2))
		t[i] = sinCos{s, c}
	}
	return &t
}

// velodyneDecoder decodes packets into sweeps. A sweep ends when the azimuth passes 0.
type velodyneDecoder struct {
	collector

	calibration *velodyneCalibration // nil if none was given

	model *velodyne
	byID  byte
	dirs  []direction
	// later[i] is the delay of laser or return i, as a fraction of the time to the next firing of the same bank.
	later []float64

	clock packetClock
	gap   int // hundredths of a degree between the last blocks of a bank
}

// newVelodyneDecoder returns a decoder. calibration is the path of a calibration file, which only the HDL-64E
// needs; if empty, the angles are those of the manuals.
func newVelodyneDecoder(calibration string) (*velodyneDecoder, error) {
	d := &velodyneDecoder{}
	if calibration == "" {
		return d, nil
	}
	var err error
	d.calibration, err = readVelodyneCalibration(calibration)
	return d, err
}

func (d *velodyneDecoder) sensor() string {
	if d.model == nil {
		return "Velodyne"
	}
	return "Velodyne " + d.model.name
}

// setModel prepares the tables of a model.
func (d *velodyneDecoder) setModel(id byte) error {
	m := velodynes[id]
	switch {
	case d.calibration != nil:
		var err error
		if m, err = d.calibration.of(m); err != nil {
			return &fatalError{err}
		}
	case m == nil:
		return fmt.Errorf("velodyne: found model %#x, want HDL-32E, VLP-16, Puck LITE, Puck Hi-Res, VLP-32C or "+
			"VLS-128; an HDL-64E needs a calibration file", id)
	}
	d.model, d.byID = m, id
	d.dirs = make([]direction, m.lasers)
	if m.lasers == hdl64.lasers {
		for i, l := range d.calibration.Lasers {
			dir := &d.dirs[i]
			dir.sin, dir.cos = math.Sincos(l.Vertical)
			dir.sinOffset, dir.cosOffset = math.Sincos(-l.Rotation)
		}
	}
	for i, v := range m.vertical {
		sin, cos := math.Sincos(v * math.Pi / 180)
		d.dirs[i] = direction{cos: cos, sin: sin, cosOffset: 1}
		if m.offset != nil {
			d.dirs[i].sinOffset, d.dirs[i].cosOffset = math.Sincos(m.offset[i] * math.Pi / 180)
		}
	}
	perBlock := d.perBlock()
	d.later = make([]float64, max(velodyneReturns, m.lasers))
	for i := range d.later {
		d.later[i] = m.fired(i)/perBlock + 1e-9 // a half, which must be rounded up, may come out slightly below
	}
	return nil
}

// perBlock returns the microseconds from one block to the next of the same bank.
func (d *velodyneDecoder) perBlock() float64 {
	return max(1, velodyneReturns/float64(d.model.lasers)) * d.model.firing
}

// after returns the delay of block k relative to the first block of its bank, block 0.
func (d *velodyneDecoder) after(k int) time.Duration {
	return time.Duration(float64(k) * d.perBlock() * float64(time.Microsecond))
}

// packetClock counts missing packets of sensors that do not number them, using the sensor's clock, which wraps
// every hour. A sensor may be configured to skip sectors; packets do not count as missing where none has ever been
// received.
type packetClock struct {
	last    uint32
	azimuth int // of the previous packet
	begun   bool
	missing [360]int // by degree
	seen    [360]bool
}

// tick records the time and first azimuth of a packet. period and advance are the distance between packets, in
// microseconds and hundredths of a degree.
func (c *packetClock) tick(micros uint32, azimuth int, period float64, advance int) {
	const hour = 3600e6
	gap := math.Mod(float64(micros)-float64(c.last)+hour, hour)
	if n := math.Round(gap/period) - 1; c.begun && n <= maxGap {
		// The two azimuths give the rotation modulo whole turns; the number of whole turns follows from the speed.
		span := float64((azimuth - c.azimuth + fullTurn) % fullTurn)
		span += fullTurn * max(0, math.Round(((n+1)*float64(advance)-span)/fullTurn))
		for i := 1.0; i <= n; i++ {
			c.missing[(c.azimuth+int(i*span/(n+1)))%fullTurn/100]++
		}
	}
	c.last, c.azimuth, c.begun = micros, azimuth, true
	for a := azimuth; a <= azimuth+advance; a += 100 {
		c.seen[a%fullTurn/100] = true
	}
}

// lost returns the number of missing packets. The edge of a skipped sector moves by up to one packet from sweep to
// sweep, which does not count.
func (c *packetClock) lost() (n int) {
	const edge, degrees = 3, 360
	for i, m := range c.missing {
		inside := m > 0
		for k := -edge; k <= edge; k++ {
			inside = inside && c.seen[(i+k+degrees)%degrees]
		}
		if inside {
			n += m
		}
	}
	return n
}

func (d *velodyneDecoder) counts() Counts {
	c := d.count
	c.Lost = d.clock.lost()
	return c
}

// add decodes a packet. It returns the sweep that the packet completes, if any; the rest of the packet starts the
// next sweep.
func (d *velodyneDecoder) add(p packet) (done *sweep, err error) {
	b := p.data
	if d.calibration == nil && isHDL64(b) {
		return nil, &fatalError{errors.New("velodyne: found packets of an HDL-64E, which needs its calibration: " +
			"--calibration FILE (YAML)")}
	}
	if d.model == nil || b[velodyneModel] != d.byID && d.model.lasers != hdl64.lasers {
		if err := d.setModel(b[velodyneModel]); err != nil {
			return nil, err
		}
	}
	d.count.Packets++
	micros := binary.LittleEndian.Uint32(b[velodyneTime:])
	sent := sensorTime(p.time, micros)
	step := 1
	if b[velodyneMode] == velodyneDual && d.model.lasers != hdl64.lasers {
		step = 2 // two blocks have the same azimuth, the last return and the strongest
	}
	apart := step * d.model.banks() // distance in blocks to the next of the same bank
	if azimuth := int(binary.LittleEndian.Uint16(b[2:])); azimuth < fullTurn {
		blocks := velodyneBlocks / apart
		if blocks == 1 && d.clock.begun {
			d.turned(azimuth - d.clock.azimuth)
		}
		d.clock.tick(micros, azimuth, d.perBlock()*float64(blocks), d.gap*blocks)
	}
	for k := range velodyneBlocks {
		block := b[k*velodyneBlock:][:velodyneBlock]
		flag := binary.LittleEndian.Uint16(block)
		first, ok := d.model.bank(flag)
		if !ok {
			continue
		}
		azimuth := int(binary.LittleEndian.Uint16(block[2:]))
		if azimuth >= fullTurn {
			continue
		}
		if next := k + apart; next < velodyneBlocks && binary.LittleEndian.Uint16(b[next*velodyneBlock:]) == flag {
			d.turned(int(binary.LittleEndian.Uint16(b[next*velodyneBlock+2:])) - azimuth)
		}
		// A packet's time is that of its first firing.
		if t := d.at(azimuth, sent.Add(d.after(k/apart))); t != nil {
			done = t
		}
		if d.model.lasers == hdl64.lasers {
			d.corrected(block, azimuth)
			continue
		}
		var twin []byte
		if step == 2 && k%2 == 1 {
			twin = b[(k-1)*velodyneBlock:][:velodyneBlock]
		}
		d.block(block, twin, azimuth, first)
	}
	return done, nil
}

// turned records the advance of the azimuth between two blocks of a bank. A jump is ignored, because the sensor
// skips sectors.
func (d *velodyneDecoder) turned(gap int) {
	if gap < 0 {
		gap += fullTurn
	}
	if gap < fullTurn/8 {
		d.gap = gap
	}
}

// block adds the returns of a block whose first laser is first. Returns equal to those of twin, the same block in
// the other return mode, are added once.
//
//	x = r cos(w) sin(a), y = r cos(w) cos(a), z = r sin(w): x right, y forward, z up
func (d *velodyneDecoder) block(block, twin []byte, azimuth, first int) {
	turns := turnTable()
	x, y, z, intensity, n := d.grow(velodyneReturns)
	for i := range velodyneReturns {
		at := 4 + 3*i
		raw := binary.LittleEndian.Uint16(block[at:])
		if raw == 0 || twin != nil && binary.LittleEndian.Uint16(twin[at:]) == raw {
			continue
		}
		a := azimuth + int(d.later[first+i]*float64(d.gap)+0.5)
		if a >= fullTurn {
			a -= fullTurn
		}
		laser := first + i
		if d.model.lasers == 16 {
			laser = i & 15
		}
		dir, sc := &d.dirs[laser], &turns[a]
		sin, cos := sc.sin, sc.cos
		if d.model.offset != nil {
			sin, cos = sin*dir.cosOffset+cos*dir.sinOffset, cos*dir.cosOffset-sin*dir.sinOffset
		}
		r := float64(raw) * d.model.unit
		flat := r * dir.cos
		x[n], y[n], z[n], intensity[n] = flat*sin, flat*cos, r*dir.sin, float32(block[at+2])
		if d.calibration != nil {
			x[n], y[n], z[n] = d.calibration.Lasers[laser].point(r, dir, sin, cos)
		}
		n++
	}
	d.keep(x, y, z, intensity, n)
}

// sensorTime returns the sensor's time, given as microseconds past the hour, in the hour nearest to the recording
// time.
func sensorTime(recorded time.Time, micros uint32) time.Time {
	if recorded.IsZero() || micros >= 3600e6 {
		return recorded
	}
	t := recorded.Truncate(time.Hour).Add(time.Duration(micros) * time.Microsecond)
	switch d := t.Sub(recorded); {
	case d > 30*time.Minute:
		t = t.Add(-time.Hour)
	case d < -30*time.Minute:
		t = t.Add(time.Hour)
	}
	return t
}
