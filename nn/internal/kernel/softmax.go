package kernel

import "math"

// Softmax sets y to the softmax of each row of x [rows,C]: e^x over the sum of e^x. The largest of a row is taken
// away first, which changes nothing but the range. y may be x.
func Softmax(y, x []float32, c int) {
	if len(x) > 0 {
		loops.softmax(y[:len(x)], x, c)
	}
}

// LogSoftmax sets y to the logarithm of the softmax of each row of x [rows,C]: x less the logarithm of the sum of
// e^x. y may be x.
func LogSoftmax(y, x []float32, c int) {
	if len(x) > 0 {
		loops.logSoftmax(y[:len(x)], x, c)
	}
}

// SoftmaxGrad sets dx to y*(dy - the row's sum of y*dy), for y from Softmax. dx may be dy.
func SoftmaxGrad(dx, dy, y []float32, c int) {
	if len(y) > 0 {
		loops.softmaxGrad(dx[:len(y)], dy[:len(y)], y, c)
	}
}

// LogSoftmaxGrad sets dx to dy - e^y times the row's sum of dy, for y from LogSoftmax. dx may be dy.
func LogSoftmaxGrad(dx, dy, y []float32, c int) {
	if len(y) > 0 {
		loops.logSoftmaxGrad(dx[:len(y)], dy[:len(y)], y, c)
	}
}

// highest returns the largest of x, or NaN.
func highest(x []float32) float32 {
	top := x[0]
	for _, v := range x[1:] {
		top = max(top, v)
	}
	return top
}

func portableSoftmax(y, x []float32, c int) {
	for i := 0; i < len(x); i += c {
		in, out := x[i:i+c], y[i:i+c]
		top := highest(in)
		var sum float64
		for j, v := range in {
			e := math.Exp(float64(v - top))
			out[j] = float32(e)
			sum += e
		}
		for j := range out {
			out[j] = float32(float64(out[j]) / sum)
		}
	}
}

func portableLogSoftmax(y, x []float32, c int) {
	for i := 0; i < len(x); i += c {
		in, out := x[i:i+c], y[i:i+c]
		top := highest(in)
		var sum float64
		for _, v := range in {
			sum += math.Exp(float64(v - top))
		}
		log := math.Log(sum)
		for j, v := range in {
			out[j] = float32(float64(v-top) - log)
		}
	}
}

func portableSoftmaxGrad(dx, dy, y []float32, c int) {
	for i := 0; i < len(y); i += c {
		out, grad, to := y[i:i+c], dy[i:i+c], dx[i:i+c]
		var dot, sum float64
		for j, v := range out {
			dot += float64(v) * float64(grad[j])
			sum += float64(v)
		}
		dot /= sum // 1 but for the rounding of y, which would count where one class has nearly all
		for j, v := range out {
			to[j] = v * float32(float64(grad[j])-dot)
		}
	}
}

func portableLogSoftmaxGrad(dx, dy, y []float32, c int) {
	for i := 0; i < len(y); i += c {
		out, grad, to := y[i:i+c], dy[i:i+c], dx[i:i+c]
		var sum float64
		for _, d := range grad {
			sum += float64(d)
		}
		for j, v := range out {
			to[j] = grad[j] - float32(math.Exp(float64(v))*sum)
		}
	}
}
