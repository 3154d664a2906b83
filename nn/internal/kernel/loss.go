package kernel

import "math"

// Softmax sets dst to the softmax of each row of x [rows,C]. The largest of a row is taken away first, which changes nothing but the range.
func Softmax(dst, x []float32, c int) {
	for i := 0; i < len(x); i += c {
		in, out := x[i:i+c], dst[i:i+c]
		top := in[0]
		for _, v := range in[1:] {
			top = max(top, v)
		}
		var sum float32
		for j, v := range in {
			out[j] = float32(math.Exp(float64(v - top)))
			sum += out[j]
		}
		for j := range out {
			out[j] /= sum
		}
	}
}
