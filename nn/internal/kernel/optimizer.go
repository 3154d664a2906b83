package kernel

import "math"

// Momentum makes one step of gradient descent: velocity = momentum*velocity - rate*g, and the values p move by it,
// or with nesterov by momentum*velocity - rate*g. All are of one length.
func Momentum(p, velocity, g []float32, rate, momentum float32, nesterov bool) {
	if len(p) > 0 {
		loops.momentum(p, velocity[:len(p)], g[:len(p)], rate, momentum, nesterov)
	}
}

// RMSpropNumbers are the constants of RMSprop.
type RMSpropNumbers struct{ Rate, Rho, Keep, Epsilon, Momentum float32 }

// RMSprop makes one step: square = rho*square + keep*g*g, of which the square of mean = rho*mean + keep*g is taken
// away unless mean is nil; the move is rate*g/sqrt(that + epsilon), to which momentum*velocity is added, and which
// is kept as velocity, unless that is nil; p -= move. All are of one length.
func RMSprop(p, square, mean, velocity, g []float32, numbers RMSpropNumbers) {
	if len(p) > 0 {
		loops.rmsprop(p, square[:len(p)], mean, velocity, g[:len(p)], numbers)
	}
}

// AMSGrad is Adam that divides by the largest v so far, most; f1 and f2 are 1-beta1 and 1-beta2.
func AMSGrad(p, g, m, v, most []float32, rate, f1, f2, epsilon float32) {
	if len(p) > 0 {
		loops.amsgrad(p, m[:len(p)], v[:len(p)], most[:len(p)], g[:len(p)], rate, f1, f2, epsilon)
	}
}

// Blend sets dst to a*dst + b*src.
func Blend(dst, src []float32, a, b float32) {
	if len(dst) > 0 {
		loops.blend(dst, src[:len(dst)], a, b)
	}
}

// AddScaled adds s*src to dst, which may be src.
func AddScaled(s float32, src, dst []float32) { loops.axpy(s, src, dst[:len(src)]) }

func portableMomentum(p, velocity, g []float32, rate, momentum float32, nesterov bool) {
	for i, d := range g {
		v := momentum*velocity[i] - rate*d
		velocity[i] = v
		if nesterov {
			v = momentum*v - rate*d
		}
		p[i] += v
	}
}

func portableRMSprop(p, square, mean, velocity, g []float32, n RMSpropNumbers) {
	for i, d := range g {
		square[i] = n.Rho*square[i] + n.Keep*d*d
		s := square[i]
		if mean != nil {
			mean[i] = n.Rho*mean[i] + n.Keep*d
			s -= mean[i] * mean[i]
		}
		move := n.Rate * d / float32(math.Sqrt(float64(s+n.Epsilon)))
		if velocity != nil {
			move += n.Momentum * velocity[i]
			velocity[i] = move
		}
		p[i] -= move
	}
}

func portableAMSGrad(p, m, v, most, g []float32, rate, f1, f2, epsilon float32) {
	for i, d := range g {
		m[i] += (d - m[i]) * f1
		v[i] += (d*d - v[i]) * f2
		most[i] = max(most[i], v[i])
		p[i] -= m[i] * rate / (float32(math.Sqrt(float64(most[i]))) + epsilon)
	}
}

func portableBlend(dst, src []float32, a, b float32) {
	for i, v := range src {
		dst[i] = a*dst[i] + b*v
	}
}
