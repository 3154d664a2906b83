package packets

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// A packet of a Hesai PandarQT64 is 1072 bytes: a header of 12 (0xEEFF, version, ..., at 6 the lasers, the blocks, at 9 the unit of distance
// in millimetres, the returns), 4 blocks of an azimuth in hundredths of a degree and 64 x (distance uint16, reflectivity, confidence), and a
// tail of 28. Little endian. With two returns, blocks come in pairs of one azimuth. Hesai PandarQT64 User Manual, 3.2.
const (
	hesaiSize   = 1072
	hesaiHeader = 12
	hesaiLasers = 64
	hesaiBlocks = 4
	hesaiBlock  = 2 + 4*hesaiLasers
	// hesaiMaxTable bounds a calibration file.
	hesaiMaxTable = 1 << 20
)

func isHesai(p packet) bool {
	return len(p.data) == hesaiSize && p.data[0] == 0xee && p.data[1] == 0xff && p.data[6] == hesaiLasers && p.data[7] == hesaiBlocks
}

// hesaiDecoder turns packets into turns, which end where the azimuth passes 0.
type hesaiDecoder struct {
	dirs    [hesaiLasers]direction
	cloud   *ingest.PointCloud
	began   time.Time
	last    int
	packets int
	returns int
	room    int
}

// newHesaiDecoder reads the calibration table, a CSV of "Laser id,Elevation,Azimuth" in degrees, which Hesai ships with every sensor.
func newHesaiDecoder(table string) (*hesaiDecoder, error) {
	if table == "" {
		return nil, errors.New("calibration: found none, want the table of the Hesai PandarQT64 (CSV of Laser id,Elevation,Azimuth)")
	}
	data, err := ingest.ReadFile(table, ingest.Options{MaxBytes: hesaiMaxTable})
	if err != nil {
		return nil, err
	}
	d := &hesaiDecoder{last: -1}
	return d, d.calibrate(table, data)
}

func (d *hesaiDecoder) calibrate(name string, data []byte) error {
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	known := 0
	for i, row := range rows {
		if len(row) < 3 || i == 0 && strings.HasPrefix(strings.ToLower(row[0]), "laser") {
			continue
		}
		id, err1 := strconv.Atoi(strings.TrimSpace(row[0]))
		elevation, err2 := strconv.ParseFloat(strings.TrimSpace(row[1]), 64)
		azimuth, err3 := strconv.ParseFloat(strings.TrimSpace(row[2]), 64)
		if err := errors.Join(err1, err2, err3); err != nil || id < 1 || id > hesaiLasers {
			return fmt.Errorf("%s, line %d: found %q, want a laser of 1..%d, elevation and azimuth", name, i+1, row, hesaiLasers)
		}
		dir := &d.dirs[id-1]
		if dir.cosOffset == 0 {
			known++
		}
		dir.sin, dir.cos = math.Sincos(elevation * math.Pi / 180)
		dir.sinOffset, dir.cosOffset = math.Sincos(azimuth * math.Pi / 180)
	}
	if known != hesaiLasers {
		return fmt.Errorf("%s: found %d lasers, want %d", name, known, hesaiLasers)
	}
	return nil
}

func (d *hesaiDecoder) sensor() string { return "Hesai PandarQT64" }

func (d *hesaiDecoder) counts() (packets, returns int) { return d.packets, d.returns }

func (d *hesaiDecoder) rest() *turn {
	if d.cloud == nil {
		return nil
	}
	t := &turn{cloud: d.cloud, time: d.began}
	d.cloud = nil
	return t
}

func (d *hesaiDecoder) add(p packet) (done *turn, err error) {
	d.packets++
	unit := float64(p.data[9]) / 1000
	dual := p.data[10] == 2
	for k := range hesaiBlocks {
		block := p.data[hesaiHeader+k*hesaiBlock:][:hesaiBlock]
		azimuth := int(binary.LittleEndian.Uint16(block))
		if azimuth >= velodyneFullTurn {
			continue
		}
		if d.last-azimuth > velodyneFullTurn/2 {
			if t := d.rest(); t != nil {
				done = t
			}
		}
		d.last = azimuth
		if d.cloud == nil {
			d.began = p.time
			n := d.room
			d.cloud = &ingest.PointCloud{X: make([]float64, 0, n), Y: make([]float64, 0, n), Z: make([]float64, 0, n), Intensity: make([]float32, 0, n)}
		}
		var twin []byte
		if dual && k%2 == 1 {
			twin = p.data[hesaiHeader+(k-1)*hesaiBlock:][:hesaiBlock]
		}
		d.block(block, twin, unit, &turnTable[azimuth])
	}
	d.room = max(d.room, d.cloudLen())
	return done, nil
}

func (d *hesaiDecoder) cloudLen() int {
	if d.cloud == nil {
		return 0
	}
	return d.cloud.Len()
}

// block adds the returns of a block; those at the distance that the other return of the pair has are one return.
//
//	x = r cos(w) sin(a), y = r cos(w) cos(a), z = r sin(w): x right, y forward, z up
func (d *hesaiDecoder) block(block, twin []byte, unit float64, t *sinCos) {
	c := d.cloud
	for i := range d.dirs {
		at := 2 + 4*i
		raw := binary.LittleEndian.Uint16(block[at:])
		if raw == 0 || twin != nil && binary.LittleEndian.Uint16(twin[at:]) == raw {
			continue
		}
		dir := &d.dirs[i]
		r := float64(raw) * unit
		flat := r * dir.cos
		c.X = append(c.X, flat*(t.sin*dir.cosOffset+t.cos*dir.sinOffset))
		c.Y = append(c.Y, flat*(t.cos*dir.cosOffset-t.sin*dir.sinOffset))
		c.Z = append(c.Z, r*dir.sin)
		c.Intensity = append(c.Intensity, float32(block[at+2]))
		d.returns++
	}
}
