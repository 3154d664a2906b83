package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// filterings are those of Winograd's minimal filtering in three dimensions that kernel.Winograd has. The inputs of
// F(2,5) are transformed as those of F(4,3).
var filterings = []filtering{
	{name: "2", taps: 3, outputs: 2, weights: weights2, input: input2, output: output2},
	{name: "4", taps: 3, outputs: 4, weights: weights4, input: input4, output: output4, spread: spread4, fold: fold4},
	{name: "4of2", taps: 2, outputs: 4, weights: weights4of2, input: input4of2, output: output4of2, spread: spread4of2, fold: fold4of2},
	{name: "2of5", taps: 5, outputs: 2, weights: weights2of5, output: output2of5, spread: spread2of5, fold: fold2of5},
}

// filtering is F(outputs,taps), with the transforms that there are.
type filtering struct {
	name                                 string
	taps, outputs                        int
	weights, input, output, spread, fold transform
}

// side is the number of points along each axis.
func (f filtering) side() int { return f.outputs + f.taps - 1 }

func (f filtering) points() int { return f.side() * f.side() * f.side() }

// winograd generates the transforms.
func (l lanes) winograd() {
	for _, f := range filterings {
		l.winogradRows("filterWeights"+f.name, f.weights, f.side())
		if f.input.emit != nil {
			l.toPoints("winogradInput"+f.name, f.input, f.side(), f.side())
		}
		l.winogradOutput(f)
		if f.spread.emit != nil {
			l.toPoints("winogradSpread"+f.name, f.spread, f.outputs, f.side())
			l.winogradRows("foldWeights"+f.name, f.fold, f.taps)
		}
	}
}

// transform emits its arithmetic on operands in registers, which it may change, with constants and some free
// registers; it returns the registers that hold the results.
type transform struct {
	operands  int
	constants []float32
	emit      func(operands, constants, free []VecPhysical) []VecPhysical
}

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

// channels emits body once for each vector of n channels, the last one under mask K1 where there are masks; body
// must not change the pointers, which move along.
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

// toPoints generates the transform of cubes of cells, a side, to cubes of points.
func (l lanes) toPoints(name string, t transform, cells, points int) {
	name += "x" + l.suffix
	TEXT(name, NOSPLIT, "func(dst, src, scratch *float32, plane, row, cell, step, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets dst, %d points step apart, to the transform of the %d cells of src, whose planes, rows and cells are that far apart.",
		name, points*points*points, cells*cells*cells))
	dst, src, scratch := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("scratch"), GP64())
	plane, row := Load(Param("plane"), GP64()), Load(Param("row"), GP64())
	cell, step := Load(Param("cell"), GP64()), Load(Param("step"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	for _, r := range []Register{plane, row, cell, step} {
		SHLQ(U8(2), r)
	}
	slab := GP64() // between points that are neighbours along the depth
	IMUL3Q(U32(uint32(points*points)), step, slab)
	constants := l.constants(t.constants)
	l.channels(n, []Register{dst, src}, func() {
		// Along the width, from src to scratch.
		top, line, in, out := GP64(), GP64(), GP64(), GP64()
		MOVQ(src, top)
		MOVQ(scratch, out)
		times("planes", cells, func() {
			MOVQ(top, line)
			times("rows", cells, func() {
				MOVQ(line, in)
				l.apply(t, constants, along(in, cell, l.load), fixed(out, l.bytes, storeWhole))
				ADDQ(row, line)
				ADDQ(U32(uint32(points*l.bytes)), out)
			})
			ADDQ(plane, top)
			if cells < points {
				ADDQ(U32(uint32(points*(points-cells)*l.bytes)), out)
			}
		})
		l.rest(t, constants, scratch, in, cells, points, func(column func(store func(i int, v VecPhysical))) {
			MOVQ(dst, line)
			times("columns3", points*points, func() {
				MOVQ(line, out)
				column(along(out, slab, l.store))
				ADDQ(step, line)
			})
		})
	})
}

// winogradOutput generates the transform of cubes of points to cubes of outputs.
func (l lanes) winogradOutput(f filtering) {
	name, t, side, m := fmt.Sprintf("winogradOutput%sx%s", f.name, l.suffix), f.output, f.side(), f.outputs
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
	constants := l.constants(t.constants)
	l.channels(n, []Register{dst, src, bias}, func() {
		// Along the width, from src to scratch.
		line, in, out := GP64(), GP64(), GP64()
		MOVQ(src, in)
		MOVQ(scratch, out)
		times("rows", side*side, func() {
			l.apply(t, constants, along(in, step, l.load), fixed(out, l.bytes, storeWhole))
			ADDQ(step, in)
			ADDQ(U32(uint32(m*l.bytes)), out)
		})
		addend := l.vector(9) // neither an operand, nor used by a transform, nor a constant
		l.rest(t, constants, scratch, in, side, m, func(column func(store func(i int, v VecPhysical))) {
			MOVQ(dst, line)
			l.load(Mem{Base: bias}, addend)
			times("columns3", m*m, func() {
				MOVQ(line, out)
				column(along(out, slab, func(m Mem, v VecPhysical) {
					VADDPS(addend, v, v)
					l.store(m, v)
				}))
				ADDQ(width, line)
			})
		})
	})
}

// rest emits the transform along the height, in place in scratch, and along the depth, where columns says how often
// and where to a column is stored. After the transform of from to to numbers along the width scratch is
// [from,max(from,to),to], of whose planes the first from rows are filled.
func (l lanes) rest(t transform, constants []VecPhysical, scratch, in Register, from, to int, columns func(column func(store func(i int, v VecPhysical)))) {
	b, plane := l.bytes, max(from, to)*to*l.bytes
	MOVQ(scratch, in)
	times("planes2", from, func() {
		times("columns2", to, func() {
			l.apply(t, constants, fixed(in, to*b, loadWhole), fixed(in, to*b, storeWhole))
			ADDQ(U32(uint32(b)), in)
		})
		ADDQ(U32(uint32(plane-to*b)), in)
	})
	MOVQ(scratch, in)
	columns(func(store func(i int, v VecPhysical)) {
		l.apply(t, constants, fixed(in, plane, loadWhole), store)
		ADDQ(U32(uint32(b)), in)
	})
}
