package packets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// RoboSense Helios sends two kinds of packets of 1248 bytes, big-endian. Data (MSOP): a header of 42 bytes
// (0x55AA055A, at 12 the packet's number uint32, at 17 the unit of distance: 1 for 2.5 mm, otherwise 5 mm, at 20
// the time: seconds uint48, microseconds uint32), 12 blocks of 0xFFEE, azimuth in hundredths of a degree and 32
// returns of distance uint16 and intensity, and a tail of 6. Device information (DIFOP): 0xA5FF005A11115555, at 300
// the return mode, at 468 the calibration: 32 elevations, then 32 azimuths, each a sign (1: negative) and
// hundredths of a degree uint16. A block of a Helios-16P has two firings of the first 16 lasers. The packets do not
// identify this model; a calibration table of 16 rows does. RS-Helios User Manual, appendices A and B.
const (
	robosenseSize     = 1248
	robosenseHeader   = 42
	robosenseNumber   = 12
	robosenseUnit     = 17
	robosenseTime     = 20
	robosenseBlocks   = 12
	robosenseBlock    = 100
	robosenseLasers   = 32
	robosenseMode     = 300
	robosenseAngles   = 468
	robosenseDualMode = 0
	robosenseFlag     = 0xffee
	// robosenseRadius is the distance of the lens from the axis in metres: the value of RoboSense's own driver
	// (rs_driver, RX of the Helios).
	robosenseRadius = 0.03498
)

var (
	robosenseData = []byte{0x55, 0xaa, 0x05, 0x5a}
	robosenseInfo = []byte{0xa5, 0xff, 0x00, 0x5a, 0x11, 0x11, 0x55, 0x55}
)

// robosenseDelays are the delays in microseconds of the returns of a block after its first return (RS-Helios User
// Manual, "exact point time").
var robosenseDelays = [robosenseLasers]float64{
	0, 1.57, 3.15, 4.72, 6.3, 7.87, 9.45, 11.36, 13.26, 15.17, 17.08, 18.99, 20.56, 22.14, 23.71, 25.29,
	26.53, 29.01, 27.77, 30.25, 31.49, 32.73, 33.98, 35.22, 36.46, 37.7, 38.94, 40.18, 41.42, 42.67, 43.91, 45.15,
}

// robosensePeriod is the time from block to block in microseconds.
const robosensePeriod = 55.56

func isRoboSense(p packet) bool {
	return len(p.data) == robosenseSize && (bytes.HasPrefix(p.data, robosenseData) || isRoboSenseInfo(p.data))
}

func isRoboSenseInfo(b []byte) bool { return bytes.HasPrefix(b, robosenseInfo) }

// robosenseDecoder decodes packets into sweeps. Data that arrives before the calibration, which a sensor sends once
// per second, is ignored.
type robosenseDecoder struct {
	collector

	dirs  []direction // directions of the returns of a block; nil before the calibration
	dual  bool
	twice bool // 16 lasers: a block is two firings
	seq   sequence
	gap   int // hundredths of a degree between the last blocks
}

// newRoboSenseDecoder returns a decoder. table is the path of a calibration table (see [readBeams]) for recordings
// without device information, or empty.
func newRoboSenseDecoder(table string) (*robosenseDecoder, error) {
	d := &robosenseDecoder{}
	if table == "" {
		return d, nil
	}
	beams, err := readBeams(table, robosenseLasers)
	if err != nil {
		half, herr := readBeams(table, robosenseLasers/2)
		if herr != nil {
			return nil, errors.Join(err, herr)
		}
		beams = half
	}
	d.calibrate(beams)
	return d, nil
}

// calibrate sets the beams of 32 or 16 lasers.
func (d *robosenseDecoder) calibrate(beams []beam) {
	if d.twice = len(beams) < robosenseLasers; d.twice {
		beams = slices.Concat(beams, beams)
	}
	d.dirs = directions(beams)
}

func (d *robosenseDecoder) sensor() string {
	if d.twice {
		return "RoboSense Helios-16P"
	}
	return "RoboSense Helios"
}

// info reads the calibration in device information. Absent lasers have all bits set.
func (d *robosenseDecoder) info(b []byte) {
	d.dual = b[robosenseMode] == robosenseDualMode
	if d.dirs != nil {
		return
	}
	angle := func(i int) (float64, bool) {
		v := b[robosenseAngles+3*i:]
		hundredths := binary.BigEndian.Uint16(v[1:])
		a := float64(hundredths) / 100
		if v[0] == 1 {
			a = -a
		}
		return a, v[0] <= 1 && hundredths <= fullTurn/2
	}
	var beams []beam
	for i := range robosenseLasers {
		elevation, ok1 := angle(i)
		azimuth, ok2 := angle(robosenseLasers + i)
		if !ok1 || !ok2 {
			break
		}
		beams = append(beams, beam{elevation, azimuth})
	}
	if len(beams) == robosenseLasers || len(beams) == robosenseLasers/2 {
		d.calibrate(beams)
	}
}

// prepare looks for device information.
func (d *robosenseDecoder) prepare(p packet) (more bool, err error) { //nolint:unparam // a preparer
	if isRoboSense(p) && isRoboSenseInfo(p.data) {
		d.info(p.data)
	}
	return d.dirs == nil, nil
}

func (d *robosenseDecoder) add(p packet) (done *sweep, err error) {
	if !isRoboSense(p) {
		return nil, errors.New("robosense: found a packet of another kind, want a Helios data or device information packet")
	}
	if isRoboSenseInfo(p.data) {
		d.info(p.data)
		return nil, nil
	}
	if d.dirs == nil {
		return nil, errors.New("robosense: no calibration: found no device information packet, which the sensor sends " +
			"to port 7788; --calibration FILE (CSV) gives the angles")
	}
	if binary.BigEndian.Uint16(p.data[robosenseHeader:]) != robosenseFlag {
		return nil, errors.New("robosense: found blocks of another model, want those of a Helios")
	}
	return d.data(p), nil
}

// data decodes a packet of returns.
func (d *robosenseDecoder) data(p packet) (done *sweep) {
	b := p.data
	d.count.Packets++
	d.count.Lost += d.seq.lost(binary.BigEndian.Uint32(b[robosenseNumber:]))
	unit := 0.005
	if b[robosenseUnit] == 1 {
		unit = 0.0025
	}
	at := robosenseClock(b[robosenseTime:], p.time)
	step := 1
	if d.dual {
		step = 2
	}
	for k := range robosenseBlocks {
		block := b[robosenseHeader+k*robosenseBlock:][:robosenseBlock]
		azimuth := int(binary.BigEndian.Uint16(block[2:]))
		if binary.BigEndian.Uint16(block) != robosenseFlag || azimuth >= fullTurn {
			continue
		}
		if next := k + step; next < robosenseBlocks {
			gap := (int(binary.BigEndian.Uint16(b[robosenseHeader+next*robosenseBlock+2:])) - azimuth + fullTurn) % fullTurn
			if gap < fullTurn/8 { // ignore jumps: the sensor skips sectors
				d.gap = gap
			}
		}
		if t := d.at(azimuth, at); t != nil {
			done = t
		}
		var twin []byte
		if d.dual && k%2 == 1 {
			twin = b[robosenseHeader+(k-1)*robosenseBlock:][:robosenseBlock]
		}
		d.block(block, twin, azimuth, unit)
	}
	return done
}

// robosenseClock returns the time of the sensor's clock, or the recording time if it was never set.
func robosenseClock(b []byte, recorded time.Time) time.Time {
	sec := int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
	micros := int64(binary.BigEndian.Uint32(b[6:]))
	return plausible(sec, micros*1000, recorded)
}

// block adds the returns of a block. Returns with the same distance in twin, the other block of the pair, are added
// once.
//
//	x = r cos(w) sin(a) + R sin(t), y = r cos(w) cos(a) + R cos(t), z = r sin(w): x right, y forward, z up
//
// with t the sensor's azimuth when the laser fired, a the sum of t and the laser's azimuth, and R the distance of
// the lens from the axis.
func (d *robosenseDecoder) block(block, twin []byte, azimuth int, unit float64) {
	turns := turnTable()
	x, y, z, intensity, n := d.grow(robosenseLasers)
	for i := range d.dirs {
		at := 4 + 3*i
		raw := binary.BigEndian.Uint16(block[at:])
		if raw == 0 || twin != nil && binary.BigEndian.Uint16(twin[at:]) == raw {
			continue
		}
		t := &turns[(azimuth+int(math.Round(robosenseDelays[i]/robosensePeriod*float64(d.gap))))%fullTurn]
		dir := &d.dirs[i]
		r := float64(raw) * unit
		flat := r * dir.cos
		x[n] = flat*(t.sin*dir.cosOffset+t.cos*dir.sinOffset) + robosenseRadius*t.sin
		y[n] = flat*(t.cos*dir.cosOffset-t.sin*dir.sinOffset) + robosenseRadius*t.cos
		z[n], intensity[n] = r*dir.sin, float32(block[at+2])
		n++
	}
	d.keep(x, y, z, intensity, n)
}
