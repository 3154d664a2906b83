// Package eigen computes the principal axes of matrices of 3 x 3.
package eigen

import "math"

// Symmetric returns the eigenvalues of a symmetric matrix, largest first, and unit eigenvectors, by cyclic Jacobi rotations
// (Golub and Van Loan, Matrix Computations, section 8.5).
func Symmetric(m [3][3]float64) (values [3]float64, vectors [3][3]float64) {
	v := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}} // columns are the vectors
	for range 30 {                                      // converges quadratically: about 5 are needed
		off := math.Abs(m[0][1]) + math.Abs(m[0][2]) + math.Abs(m[1][2])
		if off <= 1e-15*(math.Abs(m[0][0])+math.Abs(m[1][1])+math.Abs(m[2][2])) {
			break
		}
		for a := range 2 {
			for b := a + 1; b < 3; b++ {
				rotateOut(&m, &v, a, b)
			}
		}
	}
	order := [3]int{0, 1, 2}
	for i := range order {
		for j := i; j > 0 && m[order[j]][order[j]] > m[order[j-1]][order[j-1]]; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	for i, k := range order {
		values[i] = m[k][k]
		for a := range 3 {
			vectors[i][a] = v[a][k]
		}
	}
	return values, vectors
}

// rotateOut makes m[a][b] zero by a rotation in the plane of the axes a and b, and applies it to v.
func rotateOut(m, v *[3][3]float64, a, b int) {
	if m[a][b] == 0 {
		return
	}
	theta := (m[b][b] - m[a][a]) / (2 * m[a][b])
	t := 1 / (math.Abs(theta) + math.Sqrt(float64(theta*theta)+1))
	if theta < 0 {
		t = -t
	}
	cos := 1 / math.Sqrt(float64(t*t)+1)
	sin := t * cos
	for k := range 3 {
		ka, kb := m[k][a], m[k][b]
		m[k][a], m[k][b] = float64(cos*ka)-float64(sin*kb), float64(sin*ka)+float64(cos*kb)
	}
	for k := range 3 {
		ak, bk := m[a][k], m[b][k]
		m[a][k], m[b][k] = float64(cos*ak)-float64(sin*bk), float64(sin*ak)+float64(cos*bk)
		ka, kb := v[k][a], v[k][b]
		v[k][a], v[k][b] = float64(cos*ka)-float64(sin*kb), float64(sin*ka)+float64(cos*kb)
	}
}
