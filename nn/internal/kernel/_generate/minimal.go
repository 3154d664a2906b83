package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// minimal generates what winograd has not: F(2,5), whose inputs are transformed as those of F(4,3), and the transforms of both for the gradient of the
// weights: those of the outputs' gradients to points, and of points to weights.
func (l lanes) minimal() {
	l.winogradRows("filterWeights2of5", weights2of5, 6)
	l.winogradOutput(filtering{name: "2of5", side: 6, outputs: 2, output: output2of5})
	l.winogradRows("foldWeights4", fold(3), 3)
	l.winogradRows("foldWeights2of5", fold(5), 5)
	l.winogradSpread(filtering{name: "4", side: 6, outputs: 4, spread: spread4})
	l.winogradSpread(filtering{name: "2of5", side: 6, outputs: 2, spread: spread2of5})
}

func (l lanes) winogradSpread(f filtering) {
	name, side, m, b := fmt.Sprintf("winogradSpread%sx%s", f.name, l.suffix), f.side, f.outputs, l.bytes
	TEXT(name, NOSPLIT, "func(dst, src, scratch *float32, plane, row, cell, step, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets dst, %d points step apart, to the transform of the %d cells of src, whose planes, rows and cells are that far apart.",
		name, f.points(), m*m*m))
	dst, src, scratch := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("scratch"), GP64())
	plane, row := Load(Param("plane"), GP64()), Load(Param("row"), GP64())
	cell, step := Load(Param("cell"), GP64()), Load(Param("step"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	for _, r := range []Register{plane, row, cell, step} {
		SHLQ(U8(2), r)
	}
	slab := GP64() // between points that are neighbours along the depth
	IMUL3Q(U32(uint32(side*side)), step, slab)
	constants := l.constants(f.spread.constants)
	l.channels(n, []Register{dst, src}, func() {
		// Along the width, from src to scratch [m,side,side], of whose planes this fills the first m rows.
		top, line, in, out := GP64(), GP64(), GP64(), GP64()
		MOVQ(src, top)
		MOVQ(scratch, out)
		times("planes", m, func() {
			MOVQ(top, line)
			times("rows", m, func() {
				MOVQ(line, in)
				l.apply(f.spread, constants, along(in, cell, l.load), fixed(out, b, storeWhole))
				ADDQ(row, line)
				ADDQ(U32(uint32(side*b)), out)
			})
			ADDQ(plane, top)
			ADDQ(U32(uint32(side*(side-m)*b)), out)
		})
		// Along the height, in place.
		MOVQ(scratch, in)
		times("planes2", m, func() {
			times("columns2", side, func() {
				l.apply(f.spread, constants, fixed(in, side*b, loadWhole), fixed(in, side*b, storeWhole))
				ADDQ(U32(uint32(b)), in)
			})
			ADDQ(U32(uint32(side*(side-1)*b)), in)
		})
		// Along the depth, to dst.
		MOVQ(scratch, in)
		MOVQ(dst, line)
		times("columns3", side*side, func() {
			MOVQ(line, out)
			l.apply(f.spread, constants, fixed(in, side*side*b, loadWhole), along(out, slab, l.store))
			ADDQ(U32(uint32(b)), in)
			ADDQ(step, line)
		})
	})
}

// horner leaves in sum the polynomial of coefficients, the lowest first, at the point in a register.
func horner(coefficients []VecPhysical, point, sum VecPhysical) {
	VMOVAPS(coefficients[len(coefficients)-1], sum)
	for i := len(coefficients) - 2; i >= 0; i-- {
		VFMADD213PS(coefficients[i], point, sum)
	}
}

var (
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
