package ingest

import (
	"fmt"
	"strings"
)

// Orientation names the directions in which the axes x, y and z of a grid point in a patient, one letter each: R or L
// for right and left, A or P for anterior (front) and posterior (back), S or I for superior (head) and inferior
// (feet). In RAS, x grows towards the patient's right. DICOM and ITK prefer LPS, NIfTI RAS. It is empty if the
// directions are unknown. https://nipy.org/nibabel/coordinate_systems.html
type Orientation string

// RAS is the orientation of NIfTI's world coordinates.
const RAS Orientation = "RAS"

// anatomy lists the three anatomical axes, each with the letters of its two directions.
var anatomy = [3]string{"RL", "AP", "SI"}

// OrientationOf returns the orientation of a grid whose axis k, of x, y and z, runs along anatomical axis axes[k]: 0
// for right, 1 for anterior, 2 for superior, or the other way if reversed[k].
func OrientationOf(axes [3]int, reversed [3]bool) Orientation {
	var out [3]byte
	for k, a := range axes {
		end := 0
		if reversed[k] {
			end = 1
		}
		out[k] = anatomy[a][end]
	}
	return Orientation(out[:])
}

// Axes is the inverse of OrientationOf. The error says what is wrong with an orientation that does not name each of
// the three anatomical axes once.
func (o Orientation) Axes() (axes [3]int, reversed [3]bool, err error) {
	seen := [3]bool{}
	for k := range axes {
		a, end := -1, -1
		for i, letters := range anatomy {
			if len(o) == len(axes) {
				if e := strings.IndexByte(letters, o[k]); e >= 0 {
					a, end = i, e
				}
			}
		}
		if a < 0 || seen[a] {
			return axes, reversed, fmt.Errorf("found orientation %.16q, want three letters, one of R and L, one of A and P "+
				"and one of S and I, such as RAS or LPS", string(o))
		}
		seen[a] = true
		axes[k], reversed[k] = a, end == 1
	}
	return axes, reversed, nil
}

// Ends returns the letters at the start and at the end of an axis: 0 for x, 1 for y, 2 for z. It panics if the
// orientation is invalid.
func (o Orientation) Ends(axis int) (start, end byte) {
	for _, letters := range anatomy {
		if i := strings.IndexByte(letters, o[axis]); i >= 0 {
			return letters[1-i], letters[i]
		}
	}
	panic("invalid orientation " + string(o))
}

// Orientations lists all 48.
func Orientations() []Orientation {
	var out []Orientation
	for _, axes := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for flips := range 8 {
			out = append(out, OrientationOf(axes, [3]bool{flips&4 != 0, flips&2 != 0, flips&1 != 0}))
		}
	}
	return out
}

// text describes the orientation in words: "RAS (x to right, y to anterior, z to superior)".
func (o Orientation) text() string {
	words := map[byte]string{
		'R': "right", 'L': "left", 'A': "anterior", 'P': "posterior", 'S': "superior", 'I': "inferior",
	}
	if len(o) != 3 {
		return string(o)
	}
	return fmt.Sprintf("%s (x to %s, y to %s, z to %s)", string(o), words[o[0]], words[o[1]], words[o[2]])
}
