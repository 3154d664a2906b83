package packets

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"go.yaml.in/yaml/v3"

	"github.com/voxelstream/voxelstream/ingest"
)

// velodyneCalibration is the file that the ROS driver's gen_calibration.py generates from Velodyne's db.xml: one
// record per laser, in radians and metres.
// https://github.com/ros-drivers/velodyne/tree/master/velodyne_pointcloud/params
type velodyneCalibration struct {
	Lasers []velodyneLaser `yaml:"lasers"`
	Count  int             `yaml:"num_lasers"`
	// Resolution is 0 if the file does not have it: that of the model counts.
	Resolution float64 `yaml:"distance_resolution"`
}

// velodyneLaser describes the deviation of a laser from one at the origin that points along the azimuth.
type velodyneLaser struct {
	ID         int     `yaml:"laser_id"`
	Rotation   float64 `yaml:"rot_correction"`  // subtracted from the azimuth
	Vertical   float64 `yaml:"vert_correction"` // the elevation
	Distance   float64 `yaml:"dist_correction"` // added to the measured distance
	DistanceX  float64 `yaml:"dist_correction_x"`
	DistanceY  float64 `yaml:"dist_correction_y"`
	TwoPoints  bool    `yaml:"two_pt_correction_available"` // whether the two fields above were measured
	Up         float64 `yaml:"vert_offset_correction"`
	Horizontal float64 `yaml:"horiz_offset_correction"`
}

// maxCalibration limits the size of a calibration file in bytes.
const maxCalibration = 1 << 20

// hdl64 is the HDL-64E: two banks of 32 lasers in alternating blocks. Its packets do not identify the model; its
// calibration of 64 lasers does.
var hdl64 = velodyne{name: "HDL-64E", lasers: 64, unit: 0.002, firing: 48, together: 1}

// velodyneLower is the flag of a block of the HDL-64E's lower bank, lasers 32 to 63.
const velodyneLower = 0xddff

// readVelodyneCalibration reads a calibration file.
func readVelodyneCalibration(name string) (*velodyneCalibration, error) {
	data, err := ingest.ReadFile(name, ingest.Options{MaxBytes: maxCalibration})
	if err != nil {
		return nil, err
	}
	c, err := parseVelodyneCalibration(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func parseVelodyneCalibration(data []byte) (*velodyneCalibration, error) {
	var c velodyneCalibration
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		return nil, errors.New("found XML, want YAML: gen_calibration.py of the ROS package velodyne_pointcloud converts it")
	}
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&c); err != nil {
		return nil, err
	}
	if n := len(c.Lasers); n != 16 && n != 32 && n != 64 && n != 128 || c.Count != 0 && c.Count != n {
		return nil, fmt.Errorf("lasers: found %d of %d, want 16, 32, 64 or 128", n, c.Count)
	}
	sorted := make([]velodyneLaser, len(c.Lasers))
	seen := make([]bool, len(c.Lasers))
	for _, l := range c.Lasers {
		if l.ID < 0 || l.ID >= len(sorted) || seen[l.ID] {
			return nil, fmt.Errorf("laser_id: found %d, want each of 0 to %d once", l.ID, len(sorted)-1)
		}
		for _, v := range []float64{l.Rotation, l.Vertical, l.Distance, l.DistanceX, l.DistanceY, l.Up, l.Horizontal} {
			if !(math.Abs(v) < 100) {
				return nil, fmt.Errorf("laser %d: found %g, want radians and metres", l.ID, v)
			}
		}
		seen[l.ID], sorted[l.ID] = true, l
	}
	if c.Lasers = sorted; !(c.Resolution >= 0 && c.Resolution <= 1) {
		return nil, fmt.Errorf("distance_resolution: found %g, want metres", c.Resolution)
	}
	return &c, nil
}

// of returns the model of the calibrated sensor, given the one that its packets identify.
func (c *velodyneCalibration) of(named *velodyne) (*velodyne, error) {
	if len(c.Lasers) == hdl64.lasers {
		m := hdl64
		m.unit = cmp.Or(c.Resolution, m.unit)
		return &m, nil
	}
	if named == nil || named.lasers != len(c.Lasers) {
		return nil, fmt.Errorf("calibration: found %d lasers, want as many as the packets' sensor has", len(c.Lasers))
	}
	m := *named
	if c.Resolution != 0 && math.Abs(c.Resolution-m.unit) > 1e-9 {
		return nil, fmt.Errorf("calibration: distance_resolution: found %g m, but that of a %s is %g m", c.Resolution, m.name,
			m.unit)
	}
	m.vertical, m.offset = make([]float64, m.lasers), make([]float64, m.lasers)
	for i, l := range c.Lasers {
		m.vertical[i], m.offset[i] = l.Vertical*180/math.Pi, -l.Rotation*180/math.Pi
	}
	return &m, nil
}

// point returns the point at a measured distance, given the sine and cosine of the laser's azimuth, as
// velodyne_pointcloud's rawdata.cc does: with p = r cos(w) - v sin(w), v and h being the laser's vertical and
// horizontal offset from the origin,
//
//	x = p sin(a) - h cos(a), y = p cos(a) + h sin(a), z = r sin(w) + v cos(w): x right, y forward, z up
//
// where the distances of x and of y (and z) are corrected between two measured points, 2.4 m and 1.93 m, and 25.04 m.
func (l *velodyneLaser) point(measured float64, dir *direction, sin, cos float64) (x, y, z float64) {
	const nearX, nearY, far = 2.4, 1.93, 25.04
	r := measured + l.Distance
	rx, ry := r, r
	if l.TwoPoints {
		p := r*dir.cos - l.Up*dir.sin
		rx += (l.Distance-l.DistanceX)*(math.Abs(p*sin-l.Horizontal*cos)-nearX)/(far-nearX) + l.DistanceX - l.Distance
		ry += (l.Distance-l.DistanceY)*(math.Abs(p*cos+l.Horizontal*sin)-nearY)/(far-nearY) + l.DistanceY - l.Distance
	}
	return (rx*dir.cos-l.Up*dir.sin)*sin - l.Horizontal*cos, (ry*dir.cos-l.Up*dir.sin)*cos + l.Horizontal*sin,
		ry*dir.sin + l.Up*dir.cos
}

// corrected adds the returns of a block of an HDL-64E.
func (d *velodyneDecoder) corrected(block []byte, azimuth int) {
	first := 0
	if binary.LittleEndian.Uint16(block) == velodyneLower {
		first = velodyneReturns
	}
	turns := turnTable()
	x, y, z, intensity, n := d.grow(velodyneReturns)
	for i := range velodyneReturns {
		raw := binary.LittleEndian.Uint16(block[4+3*i:])
		if raw == 0 {
			continue
		}
		l, dir, t := &d.calibration.Lasers[first+i], &d.dirs[first+i], &turns[azimuth]
		sin, cos := t.sin*dir.cosOffset+t.cos*dir.sinOffset, t.cos*dir.cosOffset-t.sin*dir.sinOffset
		x[n], y[n], z[n] = l.point(float64(raw)*d.model.unit, dir, sin, cos)
		intensity[n] = float32(block[4+3*i+2])
		n++
	}
	d.keep(x, y, z, intensity, n)
}
