package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// winograd generates the transforms of Winograd's minimal filtering in three dimensions; see kernel.Winograd.
func (l lanes) winograd() {
	for _, f := range []filtering{
		{name: "2", side: 4, outputs: 2, weights: weights2, input: input2, output: output2},
		{name: "4", side: 6, outputs: 4, weights: weights4, input: input4, output: output4},
	} {
		l.winogradRows("filterWeights"+f.name, f.weights, f.side)
		l.winogradInput(f)
		l.winogradOutput(f)
	}
}

// filtering is F(outputs,taps) with side = outputs+taps-1 points along each axis.
type filtering struct {
	name                           string
	side, outputs                  int
	weights, input, output, spread transform
}

// transform emits its arithmetic on operands in registers, which it may change, with constants and some free registers; it returns the registers that hold
// the results.
type transform struct {
	operands  int
	constants []float32
	emit      func(operands, constants, free []VecPhysical) []VecPhysical
}

func (f filtering) points() int { return f.side * f.side * f.side }

func (l lanes) vector(i int) VecPhysical {
	if l.masks {
		return zmm[i]
	}
	return ymm[i]
}

func (l lanes) load(m Mem, to VecPhysical) {
	if l.masks {
		VMOVUPS_Z(m, K1, to)
	} else {
		VMOVUPS(m, to)
	}
}

func (l lanes) store(m Mem, from VecPhysical) {
	if l.masks {
		VMOVUPS(from, K1, m)
	} else {
		VMOVUPS(from, m)
	}
}

// channels emits body once for each vector of n channels, the last one under mask K1 where there are masks; body must not change the pointers,
// which move along.
func (l lanes) channels(n GPVirtual, pointers []Register, body func()) {
	Label("channels")
	if l.masks {
		m, limit := GP64(), GP64()
		MOVQ(U32(16), limit)
		MOVQ(n, m)
		CMPQ(m, limit)
		CMOVQGT(limit, m)
		tailMask(m, K1)
	}
	body()
	for _, p := range pointers {
		ADDQ(U8(l.bytes), p)
	}
	SUBQ(U8(l.bytes/4), n)
	JG(LabelRef("channels"))
	VZEROUPPER()
	RET()
}

// constants puts numbers into the last registers and returns these.
func (l lanes) constants(values []float32) []VecPhysical {
	last := 15
	if l.masks {
		last = 31
	}
	var out []VecPhysical
	r := GP32()
	for i, v := range values {
		z := l.vector(last - i)
		MOVL(U32(math.Float32bits(v)), r)
		VMOVD(r, z.AsX())
		VBROADCASTSS(z.AsX(), z)
		out = append(out, z)
	}
	return out
}

// vectors returns count registers from the first on.
func (l lanes) vectors(first, count int) []VecPhysical {
	var out []VecPhysical
	for i := range count {
		out = append(out, l.vector(first+i))
	}
	return out
}

// apply loads the operands of a transform and stores its results.
func (l lanes) apply(t transform, constants []VecPhysical, load func(i int, to VecPhysical), store func(i int, from VecPhysical)) {
	in := l.vectors(0, t.operands)
	for i, v := range in {
		load(i, v)
	}
	for i, v := range t.emit(in, constants, l.vectors(t.operands, 5)) {
		store(i, v)
	}
}

// along returns a load or store of vectors that lie stride, a register, apart from a pointer, which it moves along.
func along(pointer, stride Register, access func(m Mem, v VecPhysical)) func(i int, v VecPhysical) {
	return func(i int, v VecPhysical) {
		if i > 0 {
			ADDQ(stride, pointer)
		}
		access(Mem{Base: pointer}, v)
	}
}

// fixed returns a load or store of vectors that lie a known distance apart.
func fixed(pointer Register, bytes int, access func(m Mem, v VecPhysical)) func(i int, v VecPhysical) {
	return func(i int, v VecPhysical) { access(Mem{Base: pointer, Disp: i * bytes}, v) }
}

// times emits body n times over, in a loop.
func times(label string, n int, body func()) {
	i := GP64()
	MOVQ(U32(uint32(n)), i)
	Label(label)
	body()
	DECQ(i)
	JNZ(LabelRef(label))
}

func loadWhole(m Mem, v VecPhysical) { VMOVUPS(m, v) }

func storeWhole(m Mem, v VecPhysical) { VMOVUPS(v, m) }

// winogradRows generates a transform of rows of weights along one axis.
func (l lanes) winogradRows(name string, t transform, results int) {
	name += "x" + l.suffix
	TEXT(name, NOSPLIT, "func(dst *float32, to int, src *float32, from, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s transforms %d rows of n numbers, from apart, to %d, to apart.", name, t.operands, results))
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	to, from := Load(Param("to"), GP64()), Load(Param("from"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	SHLQ(U8(2), to)
	SHLQ(U8(2), from)
	constants := l.constants(t.constants)
	l.channels(n, []Register{dst, src}, func() {
		in, out := GP64(), GP64()
		MOVQ(src, in)
		MOVQ(dst, out)
		l.apply(t, constants, along(in, from, l.load), along(out, to, l.store))
	})
}

func (l lanes) winogradInput(f filtering) {
	name, side, b := fmt.Sprintf("winogradInput%sx%s", f.name, l.suffix), f.side, l.bytes
	TEXT(name, NOSPLIT, "func(dst, src, scratch *float32, plane, row, cell, step, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets dst, %d points step apart, to the transform of the cells of src, whose planes, rows and cells are that far apart.", name, f.points()))
	dst, src, scratch := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("scratch"), GP64())
	plane, row := Load(Param("plane"), GP64()), Load(Param("row"), GP64())
	cell, step := Load(Param("cell"), GP64()), Load(Param("step"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	for _, r := range []Register{plane, row, cell, step} {
		SHLQ(U8(2), r)
	}
	slab := GP64() // between points that are neighbours along the depth
	IMUL3Q(U32(uint32(side*side)), step, slab)
	constants := l.constants(f.input.constants)
	l.channels(n, []Register{dst, src}, func() {
		// Along the width, from src to scratch.
		top, line, in, out := GP64(), GP64(), GP64(), GP64()
		MOVQ(src, top)
		MOVQ(scratch, out)
		times("planes", side, func() {
			MOVQ(top, line)
			times("rows", side, func() {
				MOVQ(line, in)
				l.apply(f.input, constants, along(in, cell, l.load), fixed(out, b, storeWhole))
				ADDQ(row, line)
				ADDQ(U32(uint32(side*b)), out)
			})
			ADDQ(plane, top)
		})
		// Along the height, in place.
		MOVQ(scratch, in)
		times("planes2", side, func() {
			times("columns2", side, func() {
				l.apply(f.input, constants, fixed(in, side*b, loadWhole), fixed(in, side*b, storeWhole))
				ADDQ(U32(uint32(b)), in)
			})
			ADDQ(U32(uint32(side*(side-1)*b)), in)
		})
		// Along the depth, to dst.
		MOVQ(scratch, in)
		MOVQ(dst, line)
		times("columns3", side*side, func() {
			MOVQ(line, out)
			l.apply(f.input, constants, fixed(in, side*side*b, loadWhole), along(out, slab, l.store))
			ADDQ(U32(uint32(b)), in)
			ADDQ(step, line)
		})
	})
}

func (l lanes) winogradOutput(f filtering) {
	name, side, m, b := fmt.Sprintf("winogradOutput%sx%s", f.name, l.suffix), f.side, f.outputs, l.bytes
	TEXT(name, NOSPLIT, "func(dst, src, bias, scratch *float32, step, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets the rows of dst [%d,%d,%d,n] to the transform back of %d points of src, step apart, plus bias.", name, m, m, m, f.points()))
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	bias, scratch := Load(Param("bias"), GP64()), Load(Param("scratch"), GP64())
	step, n := Load(Param("step"), GP64()), Load(Param("n"), GP64()).(GPVirtual)
	SHLQ(U8(2), step)
	width, slab := GP64(), GP64()
	MOVQ(n, width)
	SHLQ(U8(2), width)
	IMUL3Q(U32(uint32(m*m)), width, slab)
	constants := l.constants(f.output.constants)
	l.channels(n, []Register{dst, src, bias}, func() {
		line, in, out := GP64(), GP64(), GP64()
		// Along the width, from src to scratch.
		MOVQ(src, in)
		MOVQ(scratch, out)
		times("rows", side*side, func() {
			l.apply(f.output, constants, along(in, step, l.load), fixed(out, b, storeWhole))
			ADDQ(step, in)
			ADDQ(U32(uint32(m*b)), out)
		})
		// Along the height, in place.
		MOVQ(scratch, in)
		times("planes2", side, func() {
			times("columns2", m, func() {
				l.apply(f.output, constants, fixed(in, m*b, loadWhole), fixed(in, m*b, storeWhole))
				ADDQ(U32(uint32(b)), in)
			})
			ADDQ(U32(uint32(m*(side-1)*b)), in)
		})
		// Along the depth, to dst.
		MOVQ(scratch, in)
		MOVQ(dst, line)
		addend := l.vector(9) // neither an operand, nor used by a transform, nor a constant
		l.load(Mem{Base: bias}, addend)
		store := func(m Mem, v VecPhysical) {
			VADDPS(addend, v, v)
			l.store(m, v)
		}
		times("columns3", m*m, func() {
			MOVQ(line, out)
			l.apply(f.output, constants, fixed(in, side*m*b, loadWhole), along(out, slab, store))
			ADDQ(U32(uint32(b)), in)
			ADDQ(width, line)
		})
	})
}

// The transforms of F(2,3) and F(4,3); package kernel states them as formulas beside the portable loops.
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
)
