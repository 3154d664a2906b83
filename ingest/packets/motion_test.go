package packets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestMotion drives a VLP-16 at 20 m/s towards a wall 30 m ahead while it turns by a radian a second. Corrected,
// all points lie on the wall as seen from where the sweep began; without correction the last are off by metres.
func TestMotion(t *testing.T) {
	const speed, yaw, wall, elevation = 20., 1., 30., math.Pi / 180
	start := time.Date(2026, 5, 4, 3, 0, 0, 0, time.UTC)
	var poses strings.Builder
	for i := range 12 {
		s := float64(i) * 0.01
		fmt.Fprintf(&poses, "%d.%09d 0 %g 0 0 0 %.17g %.17g\n", start.Unix(), i*10_000_000, speed*s,
			math.Sin(yaw*s/2), math.Cos(yaw*s/2))
	}
	path := filepath.Join(t.TempDir(), "poses.txt")
	if err := os.WriteFile(path, []byte(poses.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := readMotion(ingest.Options{Readers: []any{&Options{Trajectory: path}}}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	worst := map[bool]float64{}
	for _, corrected := range []bool{false, true} {
		d := &velodyneDecoder{}
		if corrected {
			d.follow(m)
		}
		points := 0
		for n := range 75 { // 100 ms of 12 blocks of 110.592 us
			packet := packet{time: start, data: drive(n, speed, yaw, wall, elevation)}
			sweep, err := d.add(packet)
			if err != nil || sweep != nil {
				t.Fatal(sweep, err)
			}
		}
		cloud := d.rest().cloud
		if pose := cloud.Pose; corrected {
			if pose == nil || math.Abs(pose.T[1]) > 0.01 || math.Abs(pose.R[0]-1) > 1e-6 {
				t.Errorf("found the pose %v, want that of the start", pose)
			}
		} else if pose != nil {
			t.Errorf("found the pose %v without a trajectory", pose)
		}
		for i := range cloud.Len() {
			points++
			worst[corrected] = max(worst[corrected], math.Abs(cloud.Y[i]-wall))
		}
		if points != 75*24 {
			t.Fatalf("found %d points, want %d", points, 75*24)
		}
	}
	// 2 mm are a packet's unit, 110 us at 20 m/s 2 mm; a hundredth of a degree at this angle is as much again.
	if t.Logf("off by up to %.1f mm, without correction %.0f mm", worst[true]*1e3,
		worst[false]*1e3); worst[true] > 0.01 || worst[false] < 1 {
		t.Errorf("found a wall that is off by %g m, and %g m without correction", worst[true], worst[false])
	}
}

// drive makes the packet number n of a sensor that drives towards a wall and turns; it looks from 10 to 46 degrees
// to the right, and laser 1 alone measures.
func drive(n int, speed, yaw, wall, elevation float64) []byte {
	const block, firing, laser = 110.592e-6, 55.296e-6, 2.304e-6
	b := make([]byte, velodyneSize)
	for k := range velodyneBlocks {
		at := k * velodyneBlock
		begun := float64(n*velodyneBlocks+k) * block
		azimuth := 1000 + 4*(n*velodyneBlocks+k)
		binary.LittleEndian.PutUint16(b[at:], velodyneUpper)
		binary.LittleEndian.PutUint16(b[at+2:], uint16(azimuth))
		for shot := range 2 {
			s := begun + float64(shot)*firing + laser
			a := (float64(azimuth) + 4*(s-begun)/block) * math.Pi / 18000
			r := (wall - speed*s) / (math.Cos(elevation) * math.Cos(a-yaw*s))
			binary.LittleEndian.PutUint16(b[at+4+3*(16*shot+1):], uint16(math.Round(r/0.002)))
		}
	}
	binary.LittleEndian.PutUint32(b[velodyneTime:], uint32(math.Round(float64(n*velodyneBlocks)*block*1e6)))
	b[velodyneMode], b[velodyneModel] = 0x37, 0x22
	return b
}

// TestMotionWithoutPose reads packets of times that no pose is known of.
func TestMotionWithoutPose(t *testing.T) {
	dir := t.TempDir()
	poses, file := filepath.Join(dir, "poses.txt"), filepath.Join(dir, "a.bin")
	if err := errors.Join(os.WriteFile(poses, []byte("5 0 0 0 0 0 0 1\n6 0 0 0 0 0 0 1\n"), 0o600),
		os.WriteFile(file, vlp16(0, 0, 0x37), 0o600)); err != nil {
		t.Fatal(err)
	}
	src, err := VelodyneRaw.Open(t.Context(), file, ingest.Options{Readers: []any{&Options{Trajectory: poses}}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // nothing was written
	_, err = src.Read(t.Context())
	if _, ok := errors.AsType[*ingest.ItemError](err); !ok ||
		!strings.Contains(err.Error(), "poses cover 1970-01-01T00:00:05Z to 1970-01-01T00:00:06Z") {
		t.Errorf("found %v, want an item error that names the times of the poses", err)
	}
	if _, err := MCAP.Open(t.Context(), "testdata/plain.mcap",
		ingest.Options{Readers: []any{&Options{Trajectory: poses}}}); err == nil ||
		!strings.Contains(err.Error(), "recorded clouds") {
		t.Errorf("found %v, want an error: clouds cannot be corrected", err)
	}
}
