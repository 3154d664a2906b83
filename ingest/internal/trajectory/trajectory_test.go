package trajectory

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/mutants"
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
		"1 2 3":                     "line 1: found 3 words, want 8",
		"#\n1 0 0 0 0 0 0 x\n":      `line 2: found "x", want a number`,
		"t 0 0 0 0 0 0 1":           "want seconds",
		"5e14 0 0 0 0 0 0 1":        "want seconds, or milliseconds",
		"1 0 0 0 0 1 0 0 0 0 1 0\n": "a list of matrices",
	} {
		path := write(t, text)
		if _, err := Read(path, ingest.Options{}.WithDefaults()); err == nil ||
			!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: found %v, want the file and %q", text, err, want)
		}
	}
}

// TestTimes: the same pose, written in every way in which programs write it.
func TestTimes(t *testing.T) {
	const at = 1305031102160407066
	const pose = " 10 20 30 0 0 0 1\n"
	for name, c := range map[string]struct {
		text  string
		lost  int64 // what the notation cannot express
		notes int
	}{
		"decimal":        {"1305031102.160407066" + pose, 0, 0},
		"microseconds":   {"1305031102.160407" + pose, 66, 0},
		"numpy":          {"1.305031102160407066e+09" + pose, 0, 0},
		"numpy, cut":     {"1.305031102160407e+09" + pose, 66, 0},
		"capital":        {"1.305031102160407066E9" + pose, 0, 0},
		"signed":         {"+1305031102.160407066" + pose, 0, 0},
		"nanoseconds":    {"1305031102160407066" + pose, 0, 1},
		"integer us":     {"1305031102160407" + pose, 66, 1},
		"integer ms":     {"1305031102160" + pose, 407066, 1},
		"decimal ms":     {"1305031102160.407066" + pose, 0, 1},
		"scientific ns":  {"1.305031102160407066e+18" + pose, 0, 1},
		"scientific all": {"1.305031102160407066e+09 1e1 2.0e+01 3.0e+01 0.0e+00 0.0e+00 0.0e+00 1.0e+00\n", 0, 0},
		"tabs":           {"1305031102.160407066\t10\t20\t30\t0\t0\t0\t1\n", 0, 0},
		"commas":         {"1305031102.160407066,10,20,30,0,0,0,1\n", 0, 1},
		"comma, blank":   {"1305031102.160407066, 10, 20, 30, 0, 0, 0, 1\n", 0, 1},
		"decimal commas": {"1305031102,160407066 10,0 20,0 30,0 0,0 0,0 0,0 1,0\n", 0, 0},
		"semicolons":     {"1305031102,160407066;10,0;20,0;30,0;0,0;0,0;0,0;1,0\n", 0, 1},
		"carriage":       {"# t\r1305031102.160407066" + strings.TrimSuffix(pose, "\n") + "\r", 0, 0},
		"mark":           {"\ufeff1305031102.160407066" + pose, 0, 0},
		"names":          {"timestamp tx ty tz qx qy qz qw\n1305031102.160407066" + pose, 0, 0},
		"EuRoC": {"#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z [], " +
			"v_RS_R_x [m s^-1], b_w_RS_S_x [rad s^-1]\n1305031102160407066,10,20,30,1,0,0,0,9,9\n", 0, 1},
		"pandas": {"time,x,y,z,q_w,q_x,q_y,q_z\n1305031102.160407066,10,20,30,1,0,0,0\n", 0, 0},
		"more":   {"1305031102.160407066 10 20 30 0 0 0 1 0.5\n", 0, 0},
		"one bad row": {"1305031102.160407066 10 20 30 0 0 0 1\n1305031102.160407066 10 20 30 0 0 0 1\n" +
			"1305031103.1 1 2\n", 0, 1},
	} {
		o := ingest.Options{Notes: new(ingest.Notes)}
		poses, err := Read(write(t, c.text), o)
		if err != nil || len(poses) == 0 {
			t.Errorf("%s: found %v, %v", name, poses, err)
			continue
		}
		if got := poses[0].Time.UnixNano(); got != at-c.lost {
			t.Errorf("%s: found time %d, want %d", name, got, at-c.lost)
		}
		if x, y, z := poses[0].Pose.Apply(1, 2, 3); x != 11 || y != 22 || z != 33 {
			t.Errorf("%s: found %v", name, poses[0].Pose)
		}
		if notes := o.Notes.Take(); len(notes) != c.notes {
			t.Errorf("%s: found notes %v, want %d", name, notes, c.notes)
		}
	}
}

// TestSmallTimes: times that are not since 1970 are seconds.
func TestSmallTimes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "0.5": 5e8, "1e-3": 1e6, "-1.25": -125e7, "100000": 1e14, "1e-30": 0, "0e99": 0, "00012.5": 125e8,
	} {
		if got, err := ParseTime(text); err != nil || got.UnixNano() != want {
			t.Errorf("%s: found %v, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "e5", "1e", "1e99999999", "1e300", "nan", "inf", "0x10", "1_0", "1.2.3",
		"--1", "99999999999999999999",
	} {
		if got, err := ParseTime(text); err == nil {
			t.Errorf("%s: found %v, want an error", text, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	m := mutants.New(f, "trajectory")
	m.Add([]byte("# comment\n1.5 1 2 3 0 0 0 1\n2 1 2 3 0 0 0.1 1\n"))
	m.Fuzz(func(t *testing.T, data []byte) {
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
