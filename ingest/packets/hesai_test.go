package packets

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// pandar40 is a packet of ten blocks, 0.2 degrees apart from 359; laser 12 (-0.088 up, -1.042 beside) sees 4 m.
func pandar40() []byte {
	b := make([]byte, 1266)
	for k := range 10 {
		block := b[k*124:]
		binary.LittleEndian.PutUint16(block, hesai40PFlag)
		binary.LittleEndian.PutUint16(block[2:], uint16((35900+20*k)%fullTurn))
		binary.LittleEndian.PutUint16(block[4+11*3:], 1000)
		block[4+11*3+2] = 7
	}
	binary.LittleEndian.PutUint32(b[1262:], 5)
	return b
}

// pandarXT is a packet of eight blocks at azimuth 90; laser 1 (15 degrees up) sees 2 m, and nothing is dual.
func pandarXT() []byte {
	b := make([]byte, 568)
	copy(b, []byte{0xee, 0xff, 6, 1, 0, 0, 16, 8, 1, 4, 1, 1})
	for k := range 8 {
		block := b[12+k*66:]
		binary.LittleEndian.PutUint16(block, 9000)
		binary.LittleEndian.PutUint16(block[2:], 500)
	}
	return b
}

func TestPandar40PAndXT16(t *testing.T) {
	d := newHesaiDecoder("")
	done, err := d.add(packet{data: pandar40(), time: time.Unix(1, 0)})
	if err != nil || done == nil || done.cloud.Len() != 5 || d.sensor() != "Hesai Pandar40P" {
		t.Fatalf("found %+v, %v of a %s: the azimuth passes 0 behind five blocks", done, err, d.sensor())
	}
	a, w := (359-1.042)*math.Pi/180, -0.088*math.Pi/180
	if c := done.cloud; math.Abs(c.X[0]-4*math.Cos(w)*math.Sin(a)) > 1e-9 || math.Abs(c.Y[0]-4*math.Cos(w)*math.Cos(a)) > 1e-9 || c.Intensity[0] != 7 {
		t.Errorf("found %g %g %g", c.X[0], c.Y[0], c.Z[0])
	}
	if rest := d.rest(); rest == nil || rest.cloud.Len() != 5 {
		t.Errorf("found %+v, want the other five blocks", rest)
	}
	late := pandar40()
	binary.LittleEndian.PutUint32(late[1262:], 9)
	if _, err := d.add(packet{data: late}); err != nil || d.counts().Lost != 3 {
		t.Errorf("found %d lost packets, %v; want 3: 6, 7 and 8", d.counts().Lost, err)
	}
	if _, err := d.add(packet{data: pandarXT()}); err == nil {
		t.Error("a packet of another model was taken")
	}

	d = newHesaiDecoder("")
	if _, err := d.add(packet{data: pandarXT()}); err != nil || d.sensor() != "Hesai PandarXT16" {
		t.Fatal(err)
	}
	c := d.rest().cloud
	w = 15 * math.Pi / 180
	if c.Len() != 8 || math.Abs(c.X[0]-2*math.Cos(w)) > 1e-9 || math.Abs(c.Z[0]-2*math.Sin(w)) > 1e-9 {
		t.Errorf("found %d points, the first %g %g %g", c.Len(), c.X[0], c.Y[0], c.Z[0])
	}
	dual := pandar40()
	dual[1240+hesai40PMode] = hesaiDual
	d = newHesaiDecoder("")
	if done, err := d.add(packet{data: dual}); err != nil || done.cloud.Len()+d.rest().cloud.Len() != 5 {
		t.Errorf("dual: found %+v, %v; want the equal returns of each pair once", done, err)
	}
}
