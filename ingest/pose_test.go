package ingest

import (
	"math"
	"testing"
)

func closeTo(a, b [3]float64) bool {
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= 1e-12) {
			return false
		}
	}
	return true
}

func TestPose(t *testing.T) {
	s := math.Sqrt(0.5)
	// A quarter turn about z: x goes to y.
	q, err := PoseOfQuaternion(2*s, 0, 0, 2*s, [3]float64{10, 20, 30})
	if err != nil {
		t.Fatal(err)
	}
	m, err := PoseOfMatrix([]float64{0, -1, 0, 10, 1, 0, 0, 20, 0, 0, 1, 30})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Pose{"quaternion": q, "matrix": m} {
		x, y, z := p.Apply(1, 2, 3)
		if got := [3]float64{x, y, z}; !closeTo(got, [3]float64{8, 21, 33}) {
			t.Errorf("%s: found %v, want 8 21 33", name, got)
		}
		inv := p.Inverse()
		both := p.Mul(&inv)
		if x, y, z = both.Apply(1, 2, 3); !closeTo([3]float64{x, y, z}, [3]float64{1, 2, 3}) {
			t.Errorf("%s: there and back: found %v %v %v", name, x, y, z)
		}
	}
}

func TestPoseRefuses(t *testing.T) {
	inf := math.Inf(-1)
	for name, m := range map[string][]float64{
		"lost":    {inf, inf, inf, inf, inf, inf, inf, inf, inf, inf, inf, inf, inf, inf, inf, inf},
		"zeros":   make([]float64, 16),
		"scaled":  {2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0},
		"nowhere": {1, 0, 0, inf, 0, 1, 0, 0, 0, 0, 1, 0},
	} {
		if _, err := PoseOfMatrix(m); !Lost(err) {
			t.Errorf("%s: found error %v", name, err)
		}
	}
	if _, err := PoseOfMatrix(make([]float64, 9)); err == nil || Lost(err) {
		t.Errorf("nine numbers: found error %v", err)
	}
	if _, err := PoseOfQuaternion(0, 0, 0, 0, [3]float64{}); !Lost(err) {
		t.Errorf("quaternion 0: found error %v", err)
	}
}

func TestPointsAreInTheWorld(t *testing.T) {
	pose := Pose{R: [9]float64{0, -1, 0, 1, 0, 0, 0, 0, 1}, T: [3]float64{10, 20, 30}}
	f := &Frame{Width: 2, Height: 1, Depth: []Metres{0, 2}, Cam: Intrinsics{Fx: 2, Fy: 2}, Pose: &pose}
	p, err := f.Points()
	if err != nil {
		t.Fatal(err)
	}
	// The pixel (1, 0) at 2 m is (1, 0, 2) for the camera.
	if p.Len() != 1 || p.X[0] != 10 || p.Y[0] != 21 || p.Z[0] != 32 {
		t.Errorf("found %v %v %v, want 10 21 32", p.X, p.Y, p.Z)
	}
}
