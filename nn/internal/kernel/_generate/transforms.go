package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

// horner leaves in sum the polynomial of coefficients, the lowest first, at the point in a register.
func horner(coefficients []VecPhysical, point, sum VecPhysical) {
	VMOVAPS(coefficients[len(coefficients)-1], sum)
	for i := len(coefficients) - 2; i >= 0; i-- {
		VFMADD213PS(coefficients[i], point, sum)
	}
}

// The transforms of minimal filtering; package kernel states them as formulas beside the portable loops.
var (
	weights2 = transform{operands: 3, constants: []float32{.5}, emit: func(g, c, f []VecPhysical) []VecPhysical {
		VADDPS(g[2], g[0], f[0])
		VADDPS(g[1], f[0], f[1])
		VSUBPS(g[1], f[0], f[2])
		VMULPS(c[0], f[1], f[1])
		VMULPS(c[0], f[2], f[2])
		return []VecPhysical{g[0], f[1], f[2], g[2]}
	}}
	input2 = transform{operands: 4, emit: func(d, _, f []VecPhysical) []VecPhysical {
		VSUBPS(d[2], d[0], d[0])
		VADDPS(d[2], d[1], f[0])
		VSUBPS(d[1], d[2], f[1])
		VSUBPS(d[3], d[1], d[3])
		return []VecPhysical{d[0], f[0], f[1], d[3]}
	}}
	output2 = transform{operands: 4, emit: func(m, _, f []VecPhysical) []VecPhysical {
		VADDPS(m[2], m[1], f[0])
		VSUBPS(m[2], m[1], f[1])
		VADDPS(f[0], m[0], m[0])
		VSUBPS(m[3], f[1], f[1])
		return []VecPhysical{m[0], f[1]}
	}}
	weights4 = transform{
		operands: 3, constants: []float32{1. / 3, -1. / 3, .5, .25, -16. / 15, 2, 4, 1. / 15},
		emit: func(g, c, f []VecPhysical) []VecPhysical {
			VADDPS(g[2], g[0], f[0])
			VADDPS(g[1], f[0], f[1])
			VMULPS(c[0], f[1], f[1])
			VSUBPS(g[1], f[0], f[2])
			VMULPS(c[1], f[2], f[2])
			VMOVAPS(g[0], f[3])
			VFMADD231PS(c[2], g[1], f[3])
			VFMADD231PS(c[3], g[2], f[3])
			VMULPS(c[4], f[3], f[3])
			VMOVAPS(g[0], f[4])
			VFNMADD231PS(c[5], g[1], f[4])
			VFMADD231PS(c[6], g[2], f[4])
			VMULPS(c[7], f[4], f[4])
			return []VecPhysical{g[0], f[1], f[2], f[3], f[4], g[2]}
		},
	}
	input4 = transform{
		operands: 6, constants: []float32{1.5, 2, .5},
		emit: func(d, c, f []VecPhysical) []VecPhysical {
			a, b := f[0], f[1]
			VSUBPS(d[2], d[4], a)
			VSUBPS(d[1], d[3], b)
			VSUBPS(d[2], d[0], d[0])
			VADDPS(a, d[0], d[0])
			VFMADD231PS(c[0], b, d[0])
			VSUBPS(d[3], d[5], d[5])
			VSUBPS(b, d[5], d[5])
			VFMADD231PS(c[0], a, d[5])
			VADDPS(d[3], d[2], f[2])
			VSUBPS(d[2], d[3], f[3])
			VADDPS(b, a, d[1])
			VFMADD231PS(c[0], f[2], d[1])
			VSUBPS(b, a, d[2])
			VFMADD231PS(c[0], f[3], d[2])
			VMOVAPS(a, d[3])
			VFMADD231PS(c[1], b, d[3])
			VMOVAPS(a, d[4])
			VFNMADD231PS(c[2], b, d[4])
			return d
		},
	}
	output4 = transform{
		operands: 6, constants: []float32{.5, 2, .25, 4, .125, 8},
		emit: func(m, c, f []VecPhysical) []VecPhysical {
			sum, difference := f[0], f[1]
			VADDPS(m[2], m[1], sum)
			VSUBPS(m[2], m[1], difference)
			VADDPS(sum, m[0], m[0])
			VADDPS(m[3], m[0], m[0])
			VADDPS(m[4], m[0], m[0])
			VMOVAPS(difference, m[1])
			VFMADD231PS(c[0], m[3], m[1])
			VFNMADD231PS(c[1], m[4], m[1])
			VMOVAPS(sum, m[2])
			VFMADD231PS(c[2], m[3], m[2])
			VFMADD231PS(c[3], m[4], m[2])
			VADDPS(difference, m[5], m[5])
			VFMADD231PS(c[4], m[3], m[5])
			VFNMADD231PS(c[5], m[4], m[5])
			return []VecPhysical{m[0], m[1], m[2], m[5]}
		},
	}

	weights4of2 = transform{operands: 2, constants: []float32{-.5, 1. / 6, 2}, emit: func(g, c, f []VecPhysical) []VecPhysical {
		VADDPS(g[1], g[0], f[0])
		VMULPS(c[0], f[0], f[0])
		VSUBPS(g[0], g[1], f[1])
		VMULPS(c[1], f[1], f[1])
		VMOVAPS(g[0], f[2])
		VFMADD231PS(c[2], g[1], f[2])
		VMULPS(c[1], f[2], f[2])
		return []VecPhysical{g[0], f[0], f[1], f[2], g[1]}
	}}
	input4of2 = transform{operands: 5, constants: []float32{.5, 3, 2}, emit: func(d, c, f []VecPhysical) []VecPhysical {
		e := f[0]
		VSUBPS(d[1], d[3], e)
		VSUBPS(d[2], d[0], d[0])
		VFMADD231PS(c[0], e, d[0])
		VADDPS(d[2], d[1], f[1])
		VSUBPS(f[1], e, f[1])
		VSUBPS(d[2], d[1], f[2])
		VFMADD213PS(e, c[1], f[2])
		VSUBPS(d[2], d[4], d[4])
		VFNMADD231PS(c[2], e, d[4])
		return []VecPhysical{d[0], f[1], f[2], e, d[4]}
	}}
	output4of2 = transform{operands: 5, constants: []float32{2, 4, 8}, emit: func(m, c, f []VecPhysical) []VecPhysical {
		sum, difference := f[0], f[1]
		VADDPS(m[2], m[1], sum)
		VSUBPS(m[2], m[1], difference)
		VADDPS(sum, m[0], m[0])
		VADDPS(m[3], m[0], m[0])
		VADDPS(difference, m[4], m[4])
		VFMADD231PS(c[2], m[3], m[4])
		VFMADD231PS(c[0], m[3], difference)
		VFMADD231PS(c[1], m[3], sum)
		return []VecPhysical{m[0], difference, sum, m[4]}
	}}
	spread4of2 = transform{operands: 4, constants: []float32{2}, emit: func(y, c, f []VecPhysical) []VecPhysical {
		VADDPS(y[2], y[0], f[3])
		VADDPS(y[3], y[1], f[1])
		VADDPS(f[1], f[3], f[0])
		VSUBPS(f[1], f[3], f[1])
		horner(y, c[0], f[2])
		return []VecPhysical{y[0], f[0], f[1], f[2], y[3]}
	}}
	fold4of2 = transform{operands: 5, constants: []float32{-.5, 1. / 6, 2}, emit: func(u, c, f []VecPhysical) []VecPhysical {
		VMULPS(c[0], u[1], u[1])
		VADDPS(u[1], u[0], u[0])
		VADDPS(u[1], u[4], u[4])
		VSUBPS(u[2], u[3], f[0])
		VFMADD231PS(c[1], f[0], u[0])
		VFMADD231PS(c[2], u[3], u[2])
		VFMADD231PS(c[1], u[2], u[4])
		return []VecPhysical{u[0], u[4]}
	}}
	weights2of5 = transform{
		operands: 5, constants: []float32{1. / 3, -1. / 3, .5, -2, -16. / 15, 1. / 15},
		emit: func(g, c, f []VecPhysical) []VecPhysical {
			horner(g, c[2], f[2])
			VMULPS(c[4], f[2], f[2])
			horner(g, c[3], f[3])
			VMULPS(c[5], f[3], f[3])
			VADDPS(g[2], g[0], f[4])
			VADDPS(g[4], f[4], f[4])
			VADDPS(g[3], g[1], f[1])
			VADDPS(f[1], f[4], f[0])
			VSUBPS(f[1], f[4], f[1])
			VMULPS(c[0], f[0], f[0])
			VMULPS(c[1], f[1], f[1])
			return []VecPhysical{g[0], f[0], f[1], f[2], f[3], g[4]}
		},
	}
	output2of5 = transform{
		operands: 6, constants: []float32{.5, 2},
		emit: func(m, c, f []VecPhysical) []VecPhysical {
			VADDPS(m[2], m[1], f[0])
			VADDPS(f[0], m[0], m[0])
			VADDPS(m[3], m[0], m[0])
			VADDPS(m[4], m[0], m[0])
			VSUBPS(m[2], m[1], m[1])
			VFMADD231PS(c[0], m[3], m[1])
			VFNMADD231PS(c[1], m[4], m[1])
			VADDPS(m[5], m[1], m[1])
			return []VecPhysical{m[0], m[1]}
		},
	}
	spread4 = transform{
		operands: 4, constants: []float32{.5, -2},
		emit: func(y, c, f []VecPhysical) []VecPhysical {
			VADDPS(y[2], y[0], f[4])
			VADDPS(y[3], y[1], f[1])
			VADDPS(f[1], f[4], f[0])
			VSUBPS(f[1], f[4], f[1])
			horner(y, c[0], f[2])
			horner(y, c[1], f[3])
			return []VecPhysical{y[0], f[0], f[1], f[2], f[3], y[3]}
		},
	}
	spread2of5 = transform{
		operands: 2, constants: []float32{.5, -2},
		emit: func(y, c, f []VecPhysical) []VecPhysical {
			VADDPS(y[1], y[0], f[0])
			VSUBPS(y[1], y[0], f[1])
			horner(y, c[0], f[2])
			horner(y, c[1], f[3])
			return []VecPhysical{y[0], f[0], f[1], f[2], f[3], y[1]}
		},
	}
	fold4    = fold(3)
	fold2of5 = fold(5)
)

// fold is the transpose of the transform of 3 or 5 weights to six points.
func fold(taps int) transform {
	return transform{
		operands: 6, constants: []float32{1. / 3, -16. / 15, 1. / 15, .5, -2},
		emit: func(u, c, f []VecPhysical) []VecPhysical {
			even, odd, half, two := f[0], f[1], u[3], u[4]
			VSUBPS(u[2], u[1], even)
			VADDPS(u[2], u[1], odd)
			VMULPS(c[0], even, even)
			VMULPS(c[0], odd, odd)
			VMULPS(c[1], half, half)
			VMULPS(c[2], two, two)
			out := []VecPhysical{u[0]}
			VADDPS(even, u[0], u[0])
			VADDPS(half, u[0], u[0])
			VADDPS(two, u[0], u[0])
			free := []VecPhysical{f[2], f[3], f[4], u[1]}
			for i := 1; i < taps; i++ {
				VMULPS(c[3], half, half)
				VMULPS(c[4], two, two)
				sum, side := free[i-1], odd
				if i%2 == 0 {
					side = even
				}
				VADDPS(half, side, sum)
				VADDPS(two, sum, sum)
				out = append(out, sum)
			}
			VADDPS(u[5], out[taps-1], out[taps-1])
			return out
		},
	}
}
