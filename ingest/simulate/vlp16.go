package simulate

import (
	"encoding/binary"
	"iter"
	"math"
	"time"
)

// The packet and the times of a VLP-16 (User Manual 63-9243): 12 blocks of two firings of 16 lasers, 55.296 us
// each, the lasers 2.304 us apart.
const (
	vlp16Size   = 1206
	vlp16Blocks = 12
	vlp16Block  = 100
	vlp16Firing = 55.296e-6 // seconds
	vlp16Laser  = 2.304e-6
	vlp16Unit   = 0.002 // metres
	vlp16Sweeps = 10    // a second
)

// vlp16Angles are the lasers' elevations in degrees.
var vlp16Angles = [16]float64{-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15}

// VLP16 returns the endless sequence of packets of a Velodyne VLP-16 that rotates ten times per second in a scene,
// from start. The scene stands still during a sweep. The memory of a packet is reused for the next.
func VLP16(s Scene, start time.Time) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		b := make([]byte, vlp16Size)
		sweep, view := -1, View(nil)
		for n := 0; ; n++ {
			at := float64(n) * 2 * vlp16Blocks * vlp16Firing
			if k := int(at * vlp16Sweeps); k > sweep {
				sweep, view = k, s.At(time.Duration(at*1e9))
			}
			for k := range vlp16Blocks {
				vlp16BlockAt(b[k*vlp16Block:][:vlp16Block], view, at+float64(2*k)*vlp16Firing)
			}
			after := time.Duration(at * 1e9)
			sent := start.Add(after)
			binary.LittleEndian.PutUint32(b[vlp16Blocks*vlp16Block:], uint32(sent.Sub(sent.Truncate(time.Hour)).Microseconds()))
			b[vlp16Size-2], b[vlp16Size-1] = 0x37, 0x22 // strongest return, VLP-16
			if !yield(Packet{after, b}, nil) {
				return
			}
		}
	}
}

// vlp16BlockAt fills the block that starts at the given time in seconds after the start.
func vlp16BlockAt(block []byte, v View, at float64) {
	azimuth := int(math.Mod(at*vlp16Sweeps, 1)*36000+0.5) % 36000
	binary.LittleEndian.PutUint16(block, 0xeeff)
	binary.LittleEndian.PutUint16(block[2:], uint16(azimuth))
	for i := range 32 {
		later := float64(i/16)*vlp16Firing + float64(i%16)*vlp16Laser
		sinA, cosA := math.Sincos(float64(azimuth)*math.Pi/18000 + later*vlp16Sweeps*2*math.Pi)
		sinW, cosW := math.Sincos(vlp16Angles[i%16] * math.Pi / 180)
		h := v.Cast([3]float64{}, [3]float64{cosW * sinA, cosW * cosA, sinW})
		r := math.Round(h.Range / vlp16Unit)
		if r > math.MaxUint16 {
			r = 0 // out of range
		}
		binary.LittleEndian.PutUint16(block[4+3*i:], uint16(r))
		block[4+3*i+2] = reflectivity(h)
	}
}
