package packets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A Hesai packet has blocks of an azimuth in hundredths of a degree and one return per laser, little endian.
//
// PandarQT64 (1072 bytes) and PandarXT16 (568) begin with 12 bytes: 0xEEFF, version, ..., at 6 the lasers, the
// blocks, at 9 the unit of distance in millimetres, the returns; a return is distance uint16, reflectivity, and a
// byte of confidence. The last four bytes of their 28-byte tail are the packet's number. Pandar40P (1262 bytes,
// 1266 with a number at the end) has no header: each of its ten blocks begins with 0xEEFF, a return is distance
// uint16 in 4 mm and reflectivity, and the tail has the return mode at 14. In dual return mode, blocks come in
// pairs with the same azimuth.
//
// Hesai user manuals: PandarQT 3.1, PandarXT-16 3.1, Pandar40P 3.2.
type hesaiModel struct {
	name                         string
	lasers, blocks               int
	header, blockHeader, returns int // sizes in bytes of the packet header, a block header and a return
	size                         int // size of a packet
	numbered                     int // size of a packet that ends with its number; equal to size if all do
	table                        []beam
}

// beam is the direction of a laser in degrees.
type beam struct{ elevation, azimuth float64 }

const (
	hesaiHeader   = 12
	hesaiLasers   = 6 // offset of the number of lasers in the header
	hesaiBlocks   = 7
	hesaiUnit     = 9
	hesaiReturns  = 10
	hesaiDual     = 0x39
	hesai40PMode  = 14 // offset of the return mode in the tail
	hesai40PUnit  = 0.004
	hesai40PFlag  = 0xeeff
	hesaiMaxTable = 1 << 20 // bytes of a calibration file
)

var hesaiModels = []*hesaiModel{
	{name: "PandarQT64", lasers: 64, blocks: 4, header: hesaiHeader, blockHeader: 2, returns: 4, size: 1072, numbered: 1072},
	{
		name: "PandarXT16", lasers: 16, blocks: 8, header: hesaiHeader, blockHeader: 2, returns: 4, size: 568,
		numbered: 568, table: pandarXT16,
	},
	{name: "Pandar40P", lasers: 40, blocks: 10, blockHeader: 4, returns: 3, size: 1262, numbered: 1266, table: pandar40P},
}

// The nominal angles of the manuals, used if there is no calibration of the unit.
var (
	pandarXT16 = []beam{
		{15, 0},
		{13, 0},
		{11, 0},
		{9, 0},
		{7, 0},
		{5, 0},
		{3, 0},
		{1, 0},
		{-1, 0},
		{-3, 0},
		{-5, 0},
		{-7, 0},
		{-9, 0},
		{-11, 0},
		{-13, 0},
		{-15, 0},
	}
	pandar40P = []beam{
		{14.794, -1.042},
		{10.944, -1.042},
		{7.971, -1.042},
		{4.969, -1.042},
		{2.952, -1.042},
		{1.94, -1.042},
		{1.6, 3.125},
		{1.263, -5.208},
		{0.925, -1.042},
		{0.587, 3.125},
		{0.249, -5.208},
		{-0.088, -1.042},
		{-0.425, 3.125},
		{-0.763, -5.208},
		{-1.101, -1.042},
		{-1.439, 3.125},
		{-1.776, -5.208},
		{-2.116, -1.042},
		{-2.453, 3.125},
		{-2.788, -5.208},
		{-3.128, -1.042},
		{-3.463, 3.125},
		{-3.8, -5.208},
		{-4.138, -1.042},
		{-4.473, 3.125},
		{-4.808, -5.208},
		{-5.145, -1.042},
		{-5.479, 3.125},
		{-5.814, -5.208},
		{-6.149, -1.042},
		{-7.151, -1.042},
		{-8.147, -1.042},
		{-9.148, -1.042},
		{-10.133, -1.042},
		{-11.12, -1.042},
		{-12.094, -1.042},
		{-13.062, -1.042},
		{-14.018, -1.042},
		{-18.977, -1.042},
		{-24.985, -1.042},
	}
)

// hesaiOf returns the model of a packet, or nil if it is not a Hesai packet.
func hesaiOf(b []byte) *hesaiModel {
	if len(b) < 2 || b[0] != 0xee && b[0] != 0xff {
		return nil
	}
	for _, m := range hesaiModels {
		if len(b) != m.size && len(b) != m.numbered {
			continue
		}
		if m.header > 0 && b[0] == 0xee && b[1] == 0xff && int(b[hesaiLasers]) == m.lasers && int(b[hesaiBlocks]) == m.blocks ||
			m.header == 0 && binary.LittleEndian.Uint16(b) == hesai40PFlag {
			return m
		}
	}
	return nil
}

func isHesai(p packet) bool { return hesaiOf(p.data) != nil }

// hesaiDecoder decodes packets of one model, that of the first packet, into sweeps.
type hesaiDecoder struct {
	collector

	model *hesaiModel
	table string // a path
	dirs  []direction
	seq   sequence
}

// newHesaiDecoder returns a decoder. table is the path of a calibration table, a CSV of "Laser
// id,Elevation,Azimuth" in degrees that Hesai ships with every sensor. It may be empty for models whose nominal
// angles are known.
func newHesaiDecoder(table string) *hesaiDecoder { return &hesaiDecoder{table: table} }

// setModel computes the directions of a model's lasers.
func (d *hesaiDecoder) setModel(m *hesaiModel) error {
	beams := m.table
	if d.table != "" {
		var err error
		if beams, err = readBeams(d.table, m.lasers); err != nil {
			return err
		}
	}
	if beams == nil {
		return fmt.Errorf("calibration: found none, want the table of the Hesai %s (CSV of Laser id,Elevation,Azimuth)", m.name)
	}
	d.model, d.dirs = m, directions(beams)
	return nil
}

// prepare determines the model from the first Hesai packet.
func (d *hesaiDecoder) prepare(p packet) (more bool, err error) {
	m := hesaiOf(p.data)
	if m == nil {
		return true, nil
	}
	return false, d.setModel(m)
}

func directions(beams []beam) []direction {
	out := make([]direction, len(beams))
	for i, b := range beams {
		out[i].sin, out[i].cos = math.Sincos(b.elevation * math.Pi / 180)
		out[i].sinOffset, out[i].cosOffset = math.Sincos(b.azimuth * math.Pi / 180)
	}
	return out
}

func (d *hesaiDecoder) sensor() string {
	if d.model == nil {
		return "Hesai"
	}
	return "Hesai " + d.model.name
}

func (d *hesaiDecoder) add(p packet) (done *sweep, err error) {
	m := hesaiOf(p.data)
	if m == nil {
		return nil, errors.New("hesai: found a packet of another kind, want a PandarQT64, PandarXT16 or Pandar40P packet")
	}
	if d.model == nil {
		if err := d.setModel(m); err != nil {
			return nil, &fatalError{err}
		}
	}
	if m != d.model {
		return nil, fmt.Errorf("hesai: found a packet of a %s, want only packets of the %s", m.name, d.model.name)
	}
	d.count.Packets++
	if len(p.data) == m.numbered {
		d.count.Lost += d.seq.lost(binary.LittleEndian.Uint32(p.data[len(p.data)-4:]))
	}
	size := m.blockHeader + m.lasers*m.returns
	unit, dual := hesai40PUnit, false
	if m.header > 0 {
		unit, dual = float64(p.data[hesaiUnit])/1000, p.data[hesaiReturns] == 2
	} else {
		dual = p.data[m.blocks*size+hesai40PMode] == hesaiDual
	}
	for k := range m.blocks {
		block := p.data[m.header+k*size:][:size]
		azimuth := int(binary.LittleEndian.Uint16(block[m.blockHeader-2:]))
		if azimuth >= fullTurn || m.header == 0 && binary.LittleEndian.Uint16(block) != hesai40PFlag {
			continue
		}
		if t := d.at(azimuth, p.time); t != nil {
			done = t
		}
		var twin []byte
		if dual && k%2 == 1 {
			twin = p.data[m.header+(k-1)*size+m.blockHeader:][:size-m.blockHeader]
		}
		d.block(block[m.blockHeader:], twin, unit, &turnTable()[azimuth])
	}
	return done, nil
}

// block adds the returns of a block. Returns with the same distance in twin, the other block of the pair, are added
// once.
//
//	x = r cos(w) sin(a), y = r cos(w) cos(a), z = r sin(w): x right, y forward, z up
func (d *hesaiDecoder) block(block, twin []byte, unit float64, t *sinCos) {
	x, y, z, intensity, n := d.grow(len(d.dirs))
	for i := range d.dirs {
		at := d.model.returns * i
		raw := binary.LittleEndian.Uint16(block[at:])
		if raw == 0 || twin != nil && binary.LittleEndian.Uint16(twin[at:]) == raw {
			continue
		}
		dir := &d.dirs[i]
		r := float64(raw) * unit
		flat := r * dir.cos
		x[n], y[n], z[n] = flat*(t.sin*dir.cosOffset+t.cos*dir.sinOffset),
			flat*(t.cos*dir.cosOffset-t.sin*dir.sinOffset), r*dir.sin
		intensity[n] = float32(block[at+2])
		n++
	}
	d.keep(x, y, z, intensity, n)
}
