package packets

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestVLS128 compares single and dual returns with velodyne-decoder, whose points testdata/vls128.py made.
func TestVLS128(t *testing.T) {
	packets, err := os.ReadFile("testdata/vls128.bin")
	if err != nil {
		t.Fatal(err)
	}
	truth, err := os.ReadFile("testdata/vls128.f32")
	if err != nil {
		t.Fatal(err)
	}
	type point [4]float64
	var got, want []point
	for _, part := range [][]byte{packets[:8*velodyneSize], packets[8*velodyneSize:]} {
		sweeps := readSweeps(t, VelodyneRaw, "vls128.bin", part)
		if len(sweeps) != 1 {
			t.Fatalf("found %d sweeps, want 1", len(sweeps))
		}
		cloud := sweeps[0].Data.(*ingest.PointCloud)
		for i := range cloud.Len() {
			got = append(got, point{cloud.X[i], cloud.Y[i], cloud.Z[i], float64(cloud.Intensity[i])})
		}
	}
	for i := 0; i < len(truth); i += 16 {
		var p [4]float64
		for k := range p {
			p[k] = float64(math.Float32frombits(binary.LittleEndian.Uint32(truth[i+4*k:])))
		}
		want = append(want, point{-p[1], p[0], p[2], p[3]}) // there x is forward and y left
	}
	if len(got) != len(want) {
		t.Fatalf("found %d points, want %d", len(got), len(want))
	}
	// velodyne-decoder moves points up by the tangent of the elevation times the distance of the optical centre
	// from the axis, as newer manuals tell; we do not, like the drivers of ROS.
	const centre = 0.0586
	// The azimuth is a whole number of hundredths of a degree, in packets and, after both its corrections, in one
	// of the decoders.
	const hundredth = math.Pi / 18000
	worst, used := 0.0, make([]bool, len(got))
	for _, w := range want {
		flat := math.Hypot(w[0], w[1])
		best, least := -1, math.Inf(1)
		for i, g := range got {
			up := w[2] + centre*g[2]/math.Hypot(g[0], g[1])
			d := math.Hypot(g[0]-w[0], g[1]-w[1])
			if !used[i] && g[3] == w[3] && math.Abs(g[2]-up) < 1e-3 && d < least {
				best, least = i, d
			}
		}
		if best < 0 || least > 2.1*hundredth*flat+1e-3 {
			t.Fatalf("found no point at %v, the nearest is off by %g", w, least)
		}
		used[best], worst = true, max(worst, least/max(flat, 1))
	}
	t.Logf("%d points, largest difference %.5f degrees", len(got), worst*180/math.Pi)
}
