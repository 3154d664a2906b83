package packets

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestCalibrationFiles: the nominal calibrations of the ROS driver give what the manuals' angles give, to the
// azimuth's resolution.
func TestCalibrationFiles(t *testing.T) {
	for _, c := range []struct {
		calibration, recording string
		format                 ingest.Format
	}{
		{"VLP16.yaml", "mrpt_sample_velodyne_vlp16_gps.pcap", PCAP},
		{"VLP32.yaml", "nebula_vlp32_packets.db3", ROSBag2},
	} {
		path := testenv.Sample(t, "lidar/velodyne/"+c.recording)
		want := sweepsOf(t, c.format, path)
		src, err := c.format.Open(t.Context(), path,
			ingest.Options{Readers: []any{&Options{Calibration: testenv.Sample(t, "lidar/calibration/"+c.calibration)}}})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close() //nolint:errcheck // opened for reading
		for i := range want {
			s, err := src.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			a, _ := s.Data.(*ingest.PointCloud)
			b, _ := want[i].Data.(*ingest.PointCloud)
			if a.Len() != b.Len() {
				t.Fatalf("%s: found %d points, want %d", c.calibration, a.Len(), b.Len())
			}
			for k := range a.X {
				if off := math.Abs(a.X[k]-b.X[k]) + math.Abs(a.Y[k]-b.Y[k]) + math.Abs(a.Z[k]-b.Z[k]); off > 1e-3*(1+math.Abs(a.X[k])+math.Abs(a.Y[k])) {
					t.Fatalf("%s: point %d of sweep %d is %g m off", c.calibration, k, i, off)
				}
			}
		}
	}
}

// hdl64Calibration is one in which laser 40 differs from the others, by the offset of its place and by its distance.
func hdl64Calibration(twoPoints bool) string {
	var b strings.Builder
	b.WriteString("lasers:\n")
	for i := range 64 {
		if i == 40 {
			fmt.Fprintf(&b, "- {laser_id: 40, rot_correction: 0.1, vert_correction: -0.2, dist_correction: 1.5, "+
				"dist_correction_x: 1.6, dist_correction_y: 1.4, "+
				"vert_offset_correction: 0.2, horiz_offset_correction: 0.03, two_pt_correction_available: %v}\n", twoPoints)
			continue
		}
		fmt.Fprintf(&b, "- {laser_id: %d, rot_correction: 0, vert_correction: 0.1}\n", i)
	}
	b.WriteString("num_lasers: 64\ndistance_resolution: 0.002\n")
	return b.String()
}

func TestHDL64(t *testing.T) {
	for _, two := range []bool{false, true} {
		d, err := newVelodyneDecoder(writeTable(t, hdl64Calibration(two)))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, velodyneSize)
		for k := range velodyneBlocks {
			binary.LittleEndian.PutUint16(b[k*velodyneBlock:], velodyneUpper)
			binary.LittleEndian.PutUint16(b[k*velodyneBlock+2:], 3000)
		}
		lower := b[velodyneBlock:]
		binary.LittleEndian.PutUint16(lower, velodyneLower)
		binary.LittleEndian.PutUint16(lower[4+3*8:], 5000) // laser 40: 10 m
		if _, err := d.add(packet{data: b}); err != nil {
			t.Fatal(err)
		}
		c := d.rest().cloud
		// By hand, from the formulas of the ROS driver.
		a, r := 30*math.Pi/180-0.1, 11.5
		rx, ry := r, r
		p := r*math.Cos(-0.2) - 0.2*math.Sin(-0.2)
		if two {
			rx += -0.1*(math.Abs(p*math.Sin(a)-0.03*math.Cos(a))-2.4)/22.64 + 0.1
			ry += 0.1*(math.Abs(p*math.Cos(a)+0.03*math.Sin(a))-1.93)/23.11 - 0.1
		}
		want := [3]float64{
			(rx*math.Cos(-0.2)-0.2*math.Sin(-0.2))*math.Sin(a) - 0.03*math.Cos(a),
			(ry*math.Cos(-0.2)-0.2*math.Sin(-0.2))*math.Cos(a) + 0.03*math.Sin(a),
			ry*math.Sin(-0.2) + 0.2*math.Cos(-0.2),
		}
		if c.Len() != 1 || math.Abs(c.X[0]-want[0])+math.Abs(c.Y[0]-want[1])+math.Abs(c.Z[0]-want[2]) > 1e-12 ||
			d.sensor() != "Velodyne HDL-64E" {
			t.Errorf("two points %v: found %v %v %v of a %s, want %v", two, c.X, c.Y, c.Z, d.sensor(), want)
		}
	}
}

func TestCalibrationErrors(t *testing.T) {
	for text, want := range map[string]string{
		"lasers: []":              "found 0",
		"lasers: [1":              "yaml",
		"lasers: [{laser_id: 0}]": "found 1 of 0",
		strings.Replace(hdl64Calibration(false), "laser_id: 7,", "laser_id: 8,", 1):        "each of 0 to 63 once",
		strings.Replace(hdl64Calibration(false), "num_lasers: 64", "num_lasers: 32", 1):    "found 64 of 32",
		strings.Replace(hdl64Calibration(false), "resolution: 0.002", "resolution: -1", 1): "distance_resolution",
		strings.Replace(hdl64Calibration(false), "correction: 0.1", "correction: .nan", 1): "want radians",
	} {
		if _, err := newVelodyneDecoder(writeTable(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, want %q", err, want)
		}
	}
	// A calibration of another sensor ends the recording, and says so.
	path := writeTable(t, string(vlp16(0, 0, 0x37)))
	src, err := VelodyneRaw.Open(t.Context(), path,
		ingest.Options{Readers: []any{&Options{Calibration: testenv.Sample(t, "lidar/calibration/VLP32.yaml")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	if _, err := src.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "found 32 lasers") {
		t.Errorf("found error %v, want the number of lasers", err)
	}
}

func FuzzVelodyneCalibration(f *testing.F) {
	f.Add([]byte(hdl64Calibration(true)), vlp16(0, 0, 0x37))
	f.Fuzz(func(_ *testing.T, data, b []byte) {
		c, err := parseVelodyneCalibration(data)
		if p := (packet{data: b}); err == nil && isVelodyne(p) {
			_, _ = (&velodyneDecoder{calibration: c}).add(p) // any error is right that is no panic
		}
	})
}

// TestCalibrationOfModels: the unit of distance is the model's, and all corrections count.
func TestCalibrationOfModels(t *testing.T) {
	table := func(resolution string) string {
		var b strings.Builder
		b.WriteString("lasers:\n")
		for i := range 32 {
			fmt.Fprintf(&b, "- {laser_id: %d, rot_correction: 0, vert_correction: 0, dist_correction: 0.5, "+
				"vert_offset_correction: 0.02, horiz_offset_correction: 0.03}\n", i)
		}
		return b.String() + resolution
	}
	p := vlp16(0, 0, 0x37)
	p[velodyneModel] = 0x28 // VLP-32C: 500 units of 4 mm
	for _, resolution := range []string{"", "distance_resolution: 0.004\n"} {
		d, err := newVelodyneDecoder(writeTable(t, table(resolution)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.add(packet{data: p}); err != nil {
			t.Fatal(err)
		}
		if c := d.rest().cloud; math.Abs(math.Hypot(c.X[0], c.Y[0])-math.Hypot(2.5, .03)) > 1e-9 ||
			math.Abs(c.Z[0]-.02) > 1e-9 {
			t.Errorf("%q: found %g %g %g, want 2 m and the corrections", resolution, c.X[0], c.Y[0], c.Z[0])
		}
	}
	d, err := newVelodyneDecoder(writeTable(t, table("distance_resolution: 0.002\n")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.add(packet{data: p}); err == nil ||
		!strings.Contains(err.Error(), "found 0.002 m, but that of a VLP-32C") {
		t.Errorf("found %v, want the contradiction", err)
	}
	if _, err := newVelodyneDecoder(writeTable(t, "<?xml version=\"1.0\"?><boost/>")); err == nil ||
		!strings.Contains(err.Error(), "found XML") {
		t.Errorf("found %v, want how to convert XML", err)
	}
	// An HDL-64E is not taken for the model that its last byte happens to name.
	for k := 1; k < velodyneBlocks; k += 2 {
		binary.LittleEndian.PutUint16(p[k*velodyneBlock:], velodyneLower)
	}
	if _, err := (&velodyneDecoder{}).add(packet{data: p}); err == nil || !strings.Contains(err.Error(), "HDL-64E") {
		t.Errorf("found %v, want the model", err)
	}
}
