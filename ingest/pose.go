package ingest

import (
	"errors"
	"fmt"
	"math"
)

// Pose is the pose of a sensor in the world: world = R * sensor + T, with R a row-major rotation and T the sensor's
// position in metres.
type Pose struct {
	R [9]float64 `json:"rotation"`
	T [3]float64 `json:"position"`
}

// Identity is the pose of a sensor whose axes are the world's.
func Identity() Pose { return Pose{R: [9]float64{1, 0, 0, 0, 1, 0, 0, 0, 1}} }

// errNoRotation is the error for an invalid pose: trackers write zeros, infinities or NaN when tracking is lost.
var errNoRotation = errors.New("no rotation")

// PoseOfQuaternion returns a pose with the rotation w + xi + yj + zk, of any nonzero length, and a position in
// metres.
func PoseOfQuaternion(w, x, y, z float64, t [3]float64) (Pose, error) {
	n := math.Sqrt(w*w + x*x + y*y + z*z)
	if !(n > 1e-9) || math.IsInf(n, 0) || !finite(t[0]+t[1]+t[2]) {
		return Pose{}, fmt.Errorf("quaternion %g %g %g %g (w x y z) at %v: %w", w, x, y, z, t, errNoRotation)
	}
	w, x, y, z = w/n, x/n, y/n, z/n
	return Pose{R: [9]float64{
		1 - 2*(y*y+z*z), 2 * (x*y - w*z), 2 * (x*z + w*y),
		2 * (x*y + w*z), 1 - 2*(x*x+z*z), 2 * (y*z - w*x),
		2 * (x*z - w*y), 2 * (y*z + w*x), 1 - 2*(x*x+y*y),
	}, T: t}, nil
}

// rotationTolerance is the allowed deviation of R * transposed R from the identity: pose files have at least three
// digits.
const rotationTolerance = 1e-2

// PoseOfMatrix returns a pose from the first three rows of a homogeneous matrix, given as 12 or 16 numbers in
// row-major order. It rejects a matrix that is not a rigid motion.
func PoseOfMatrix(m []float64) (Pose, error) {
	if len(m) != 12 && len(m) != 16 {
		return Pose{}, fmt.Errorf("found %d numbers, want the 12 or 16 of a pose", len(m))
	}
	var p Pose
	for i := range 3 {
		copy(p.R[3*i:3*i+3], m[4*i:])
		p.T[i] = m[4*i+3]
	}
	for i := range 3 {
		for j := range 3 {
			dot, want := 0.0, 0.0
			for k := range 3 {
				dot += p.R[3*i+k] * p.R[3*j+k]
			}
			if i == j {
				want = 1
			}
			if !(math.Abs(dot-want) <= rotationTolerance) {
				return Pose{}, fmt.Errorf("rows %d and %d of the matrix: found product %g, want %g: %w", i, j, dot, want, errNoRotation)
			}
		}
	}
	if !finite(p.T[0] + p.T[1] + p.T[2]) {
		return Pose{}, fmt.Errorf("position %v: %w", p.T, errNoRotation)
	}
	return p, nil
}

// Lost reports whether err is due to an invalid pose, as trackers write when tracking is lost.
func Lost(err error) bool { return errors.Is(err, errNoRotation) }

// Apply transforms a point from the sensor's coordinates to the world's.
func (p *Pose) Apply(x, y, z float64) (wx, wy, wz float64) {
	r := &p.R
	return r[0]*x + r[1]*y + r[2]*z + p.T[0], r[3]*x + r[4]*y + r[5]*z + p.T[1], r[6]*x + r[7]*y + r[8]*z + p.T[2]
}

// Inverse returns the pose of the world in the sensor's axes.
func (p *Pose) Inverse() Pose {
	r := &p.R
	q := Pose{R: [9]float64{r[0], r[3], r[6], r[1], r[4], r[7], r[2], r[5], r[8]}}
	x, y, z := q.Apply(p.T[0], p.T[1], p.T[2])
	q.T = [3]float64{-x, -y, -z}
	return q
}

// Mul returns the composition of p and q: the pose of a sensor that is at q on a body at p.
func (p *Pose) Mul(q *Pose) Pose {
	var out Pose
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				out.R[3*i+j] += p.R[3*i+k] * q.R[3*k+j]
			}
		}
	}
	out.T[0], out.T[1], out.T[2] = p.Apply(q.T[0], q.T[1], q.T[2])
	return out
}
