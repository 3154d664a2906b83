package kernel

// PReLU sets y to x, and where that is below zero to slope*x. All are of one length; y may be x.
func PReLU(y, x, slope []float32) {
	if len(x) > 0 {
		loops.prelu(y[:len(x)], x, slope[:len(x)])
	}
}

// PReLUGrad sets dx to dy, and where x is below zero to slope*dy; there it adds dy*x to dslope. All are of one
// length; dx may be dy.
func PReLUGrad(dx, dslope, dy, x, slope []float32) {
	if len(x) > 0 {
		loops.preluGrad(dx[:len(x)], dslope[:len(x)], dy[:len(x)], x, slope[:len(x)])
	}
}

func portablePReLU(y, x, slope []float32) {
	for i, v := range x {
		if v < 0 {
			v *= slope[i]
		}
		y[i] = v
	}
}

func portablePReLUGrad(dx, dslope, dy, x, slope []float32) {
	for i, v := range x {
		d := dy[i]
		if v < 0 {
			dslope[i] += d * v
			d *= slope[i]
		}
		dx[i] = d
	}
}
