package frame

import (
	"bytes"
	"image/color"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

func volumes() map[string]voxelize.Volume {
	v := voxelize.Volume{
		ID: record.ID{Stream: "s", Seq: 7, Object: 2, View: 1}, Time: time.Unix(5, 6).UTC(), Label: 3,
		Dims: [3]int{2, 1, 3}, Origin: [3]float64{1, 2, 3}, Edge: .5,
	}
	palette, raw, scaled := v, v, v
	palette.Content, palette.Index = voxelize.PaletteContent("viridis"), []byte{1, 2, 3, 4, 5, 255}
	raw.Content, raw.Values = voxelize.FloatContent(2), []float32{-1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12.5}
	scaled.Content, scaled.Index = voxelize.ByteContent(1, .1, -3), []byte{1, 2, 3, 4, 5, 6}
	return map[string]voxelize.Volume{"palette": palette, "values": raw, "bytes": scaled}
}

// TestVolumes: a volume that comes back is the one that was sent.
func TestVolumes(t *testing.T) {
	for name, want := range volumes() {
		h, p := Of(want.ID), &Payload{}
		p.AddVolume(&h, &want)
		if h.Volume.Content != name {
			t.Errorf("found %s, want %s", h.Volume.Content, name)
		}
		b, err := Encode(&h, p)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Volume()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: found %+v, %v, want %+v", name, got, err, want)
		}
		if len(b)%align != 0 {
			t.Errorf("%s: found %d bytes", name, len(b))
		}
	}
}

// TestCloud: every point that is sent lies within half a step of one that the sensor saw, and NaN points are left out.
func TestCloud(t *testing.T) {
	c := &ingest.PointCloud{}
	nan := math.NaN()
	for i := range 1000 {
		f := float64(i)
		x := 5e6 + f
		if i%10 == 3 {
			x = nan
		}
		c.X, c.Y, c.Z = append(c.X, x), append(c.Y, -f/7), append(c.Z, 2)
		c.Intensity = append(c.Intensity, float32(i))
		c.R, c.G, c.B = append(c.R, uint8(i)), append(c.G, uint8(i/2)), append(c.B, 9)
	}
	for _, limit := range []int{1, 100, 899, 900, 5000} {
		h, p := Of(record.ID{Stream: "s"}), &Payload{}
		p.AddSensor(&h, &ingest.Sample{Data: c}, limit)
		want := min(limit, 900)
		if h.Sensor.Points != want || h.Sensor.Total != 1000 || h.LeftOut != 900-want {
			t.Fatalf("limit %d: found %+v, %d left out", limit, h.Sensor, h.LeftOut)
		}
		b, err := Encode(&h, p)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		part, points, err := m.Part("points", U16)
		if err != nil || !reflect.DeepEqual(part.Shape, []int{want, 3}) {
			t.Fatalf("found %+v, %v", part, err)
		}
		_, intensity, err := m.Part("field:intensity", U8)
		if err != nil {
			t.Fatal(err)
		}
		_, rgb, err := m.Part("rgb", U8)
		if err != nil {
			t.Fatal(err)
		}
		last := -1
		for j := range want {
			q := float64(points[6*j]) + 256*float64(points[6*j+1])
			x := h.Sensor.Origin[0] + h.Sensor.Scale[0]*q
			i := int(math.Round(x - 5e6))
			if i <= last || math.Abs(x-c.X[i]) > h.Sensor.Scale[0]*.5001 {
				t.Fatalf("limit %d: point %d is at %v after point %d", limit, j, x, last)
			}
			last = i
			f := h.Sensor.Fields[0]
			if v := f.Lo + (f.Hi-f.Lo)*float32(intensity[j])/255; math.Abs(float64(v)-float64(i)) > 2 {
				t.Errorf("intensity of point %d: found %v", i, v)
			}
			if rgb[3*j] != c.R[i] || rgb[3*j+1] != c.G[i] || rgb[3*j+2] != 9 {
				t.Errorf("colour of point %d: found %v", i, rgb[3*j:3*j+3])
			}
		}
		if limit == 100 && last < 880 {
			t.Errorf("the last of 100 points is number %d of 1000", last)
		}
	}
	h, p := Of(record.ID{Stream: "s"}), &Payload{}
	p.AddSensor(&h, &ingest.Sample{Data: &ingest.PointCloud{X: []float64{nan}, Y: []float64{1}, Z: []float64{1}}}, 9)
	if b, err := Encode(&h, p); err != nil || h.Sensor.Points != 0 || len(b) == 0 {
		t.Errorf("a cloud without finite points: found %+v, %v", h.Sensor, err)
	}
}

func TestDepth(t *testing.T) {
	f := &ingest.Frame{Width: 5, Height: 3, Cam: ingest.Intrinsics{Fx: 10, Fy: 20, Cx: 2, Cy: 1}}
	for i := range 15 {
		f.Depth = append(f.Depth, float32(i)/4)
		f.Color = append(f.Color, color.RGBA{R: uint8(i), G: 1, B: 2})
	}
	f.Depth[0], f.Depth[2] = float32(math.NaN()), 1e6
	h, p := Of(record.ID{Stream: "s"}), &Payload{}
	p.AddSensor(&h, &ingest.Sample{Data: f}, 6) // every second pixel
	if h.Sensor.Points != 6 || h.LeftOut != 9 || *h.Sensor.Camera != (Camera{5, 10, 1, .5}) {
		t.Errorf("found %+v, %d left out", h.Sensor, h.LeftOut)
	}
	b, _ := Encode(&h, p)
	m, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	part, depth, err := m.Part("depth", U16)
	want := []byte{0, 0, 255, 255, 0xe8, 3, 0xc4, 9, 0xb8, 0xb, 0xac, 0xd} // 0, 65535, 1000, 2500, 3000, 3500 mm
	if err != nil || !reflect.DeepEqual(part.Shape, []int{2, 3}) || !bytes.Equal(depth, want) {
		t.Errorf("found %v, %v, %v", part.Shape, depth, err)
	}
	if _, rgb, err := m.Part("rgb", U8); err != nil || rgb[3*3] != 10 {
		t.Errorf("found %v, %v", rgb, err)
	}
}

// TestRefused: every frame that contradicts itself is refused.
func TestRefused(t *testing.T) {
	part := func(s string) string {
		return `{"type":"frame","parts":[{"name":"a","type":"u16","shape":[2],"at":0,"bytes":4},` + s + `]}`
	}
	for name, header := range map[string]string{
		"no JSON":            `{"type":`,
		"type":               part(`{"name":"b","type":"u64","shape":[1],"at":0,"bytes":8}`),
		"twice":              part(`{"name":"a","type":"u8","shape":[1],"at":0,"bytes":1}`),
		"not aligned":        part(`{"name":"b","type":"u8","shape":[1],"at":4,"bytes":1}`),
		"negative":           part(`{"name":"b","type":"u8","shape":[1],"at":-8,"bytes":1}`),
		"behind the end":     part(`{"name":"b","type":"u8","shape":[9],"at":0,"bytes":9}`),
		"shape":              part(`{"name":"b","type":"u8","shape":[3],"at":0,"bytes":4}`),
		"negative shape":     part(`{"name":"b","type":"u8","shape":[-2,-2],"at":0,"bytes":4}`),
		"overflow":           part(`{"name":"b","type":"u8","shape":[4294967296,4294967296],"at":0,"bytes":0}`),
		"too many axes":      part(`{"name":"b","type":"u8","shape":[1,1,1,1,1,1,1,1,1],"at":0,"bytes":1}`),
		"negative bytes":     part(`{"name":"b","type":"u8","shape":[],"at":0,"bytes":-1}`),
		"end is an overflow": part(`{"name":"b","type":"u8","shape":[1],"at":9223372036854775800,"bytes":1}`),
	} {
		for len(header)%align != 0 {
			header += " "
		}
		b := append([]byte{'V', 'X', 'F', '1', byte(len(header)), 0, 0, 0}, header...)
		if m, err := Decode(append(b, make([]byte, 8)...)); err == nil {
			t.Errorf("%s: found %+v, want an error", name, m)
		}
	}
	for _, b := range []string{"", "VXF1", "VXF2\x00\x00\x00\x00", "VXF1\xff\xff\xff\xff{}"} {
		if _, err := Decode([]byte(b)); err == nil {
			t.Errorf("%q: want an error", b)
		}
	}
	if _, err := Encode([]int{1}, nil); err == nil || !strings.Contains(err.Error(), "an object") {
		t.Errorf("found %v", err)
	}
}

// FuzzDecode: no input makes the decoder panic, and what it accepts can be encoded again.
func FuzzDecode(f *testing.F) {
	target := mutants.New(f, "frame of /live")
	for _, v := range volumes() {
		h, p := Of(v.ID), &Payload{}
		p.AddVolume(&h, &v)
		b, err := Encode(&h, p)
		if err != nil {
			f.Fatal(err)
		}
		target.Add(b)
	}
	target.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		for _, name := range m.Names() {
			for _, typ := range []Type{U8, U16, U32, I32, F32} {
				if p, data, err := m.Part(name, typ); err == nil && len(data) != p.Bytes {
					t.Fatalf("found %d bytes, want %d", len(data), p.Bytes)
				}
			}
		}
		v, err := m.Volume()
		if err != nil {
			return
		}
		h, p := Of(v.ID), &Payload{}
		p.AddVolume(&h, &v)
		if _, err := Encode(&h, p); err != nil {
			t.Fatal(err)
		}
	})
}
