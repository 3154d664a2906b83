package trajectory

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

func write(tb testing.TB, text string) string {
	path := filepath.Join(tb.TempDir(), "poses.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestAt(t *testing.T) {
	// Two seconds in which the sensor moves by 4 m along x and turns by 90 degrees about z, and a later pose; not
	// in order.
	path := write(t, "# time tx ty tz qx qy qz qw\n12 4 0 0 0 0 0.70710678118654752 0.70710678118654752\n10 0 0 0 0 "+
		"0 0 1\n100 0 0 0 0 0 0 1\n11.5 0 0 0 0 0 0 0\n")
	poses, err := Read(path, ingest.Options{}.WithDefaults())
	if err != nil || len(poses) != 3 {
		t.Fatalf("found %d poses, %v, want 3", len(poses), err)
	}
	at := func(seconds float64) time.Time { return time.Unix(0, int64(seconds*1e9)) }
	for _, c := range []struct{ time, x, degrees float64 }{{10, 0, 0}, {10.5, 1, 22.5}, {11, 2, 45}, {12, 4, 90}} {
		p, ok := poses.At(at(c.time), 3*time.Second)
		x, y, _ := p.Apply(1, 0, 0)
		s, cos := math.Sincos(c.degrees * math.Pi / 180)
		if !ok || math.Abs(x-c.x-cos) > 1e-12 || math.Abs(y-s) > 1e-12 {
			t.Errorf("at %g: found %v, %v, want %g m and %g degrees", c.time, p, ok, c.x, c.degrees)
		}
	}
	for _, seconds := range []float64{9.9, 50, 101} {
		if p, ok := poses.At(at(seconds), 3*time.Second); ok {
			t.Errorf("at %g: found %v, want none", seconds, p)
		}
	}
	if p := poses.Nearest(at(10.9), time.Second); p == nil || p.T[0] != 0 {
		t.Errorf("found %v, want the first", p)
	}
	if p := poses.Nearest(at(50), time.Second); p != nil {
		t.Errorf("found %v, want none", p)
	}
}

func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"1 2 3":                "line 1: found 3 words, want 8",
		"#\n1 0 0 0 0 0 0 x\n": `line 2: found "x", want a number`,
		"t 0 0 0 0 0 0 1":      "want seconds",
	} {
		path := write(t, text)
		if _, err := Read(path, ingest.Options{}.WithDefaults()); err == nil ||
			!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: found %v, want the file and %q", text, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("# comment\n1.5 1 2 3 0 0 0 1\n2 1 2 3 0 0 0.1 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		poses, err := Read(write(t, string(data)), ingest.Options{}.WithDefaults())
		if err != nil {
			return
		}
		for i := 1; i < len(poses); i++ {
			if poses[i].Time.Before(poses[i-1].Time) {
				t.Fatal("found times out of order")
			}
			poses.At(poses[i-1].Time.Add(poses[i].Time.Sub(poses[i-1].Time)/2), time.Hour)
		}
	})
}
