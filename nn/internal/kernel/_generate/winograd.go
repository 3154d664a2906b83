package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// winograd generates the transforms of Winograd's minimal filtering F(2,3) in three dimensions; see kernel.Winograd.
func (l lanes) winograd() {
	l.winogradInput()
	l.winogradOutput()
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

func (l lanes) store(from VecPhysical, m Mem) {
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

func (l lanes) winogradInput() {
	TEXT("winogradInput"+l.suffix, NOSPLIT, "func(dst, src *float32, plane, row, cell, step, n int)")
	Pragma("noescape")
	Doc("winogradInput" + l.suffix + " sets dst, points step apart, to the transform of the 4x4x4 cells of src, whose planes, rows and cells are that far apart.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	plane, row := Load(Param("plane"), GP64()), Load(Param("row"), GP64())
	cell, step := Load(Param("cell"), GP64()), Load(Param("step"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	for _, r := range []Register{plane, row, cell, step} {
		SHLQ(U8(2), r)
	}
	// four transforms four vectors: d0-d2, d1+d2, d2-d1, d1-d3.
	four := func(from, fromStep, to, toStep Register) {
		at, d := GP64(), [4]VecPhysical{l.vector(0), l.vector(1), l.vector(2), l.vector(3)}
		MOVQ(from, at)
		for i := range 4 {
			l.load(Mem{Base: at}, d[i])
			if i < 3 {
				ADDQ(fromStep, at)
			}
		}
		out := [4]VecPhysical{l.vector(4), l.vector(5), l.vector(6), l.vector(7)}
		VSUBPS(d[2], d[0], out[0])
		VADDPS(d[2], d[1], out[1])
		VSUBPS(d[1], d[2], out[2])
		VSUBPS(d[3], d[1], out[3])
		MOVQ(to, at)
		for i := range 4 {
			l.store(out[i], Mem{Base: at})
			if i < 3 {
				ADDQ(toStep, at)
			}
		}
	}
	l.channels(n, []Register{dst, src}, func() {
		from, to, i, j, stride := GP64(), GP64(), GP64(), GP64(), GP64()
		// Along the width, from src to dst.
		next := GP64()
		MOVQ(src, next)
		MOVQ(dst, to)
		MOVQ(U32(4), i)
		Label("planes")
		MOVQ(next, from)
		ADDQ(plane, next)
		MOVQ(U32(4), j)
		Label("rows")
		four(from, cell, to, step)
		ADDQ(row, from)
		LEAQ(Mem{Base: to, Index: step, Scale: 4}, to)
		DECQ(j)
		JNZ(LabelRef("rows"))
		DECQ(i)
		JNZ(LabelRef("planes"))
		// Along the height, in place: groups of four points 4 apart.
		MOVQ(step, stride)
		SHLQ(U8(2), stride)
		MOVQ(dst, to)
		MOVQ(U32(4), i)
		Label("planes2")
		MOVQ(U32(4), j)
		Label("columns2")
		four(to, stride, to, stride)
		ADDQ(step, to)
		DECQ(j)
		JNZ(LabelRef("columns2"))
		LEAQ(Mem{Base: to, Index: step, Scale: 8}, to)
		LEAQ(Mem{Base: to, Index: step, Scale: 4}, to)
		DECQ(i)
		JNZ(LabelRef("planes2"))
		// Along the depth: groups of four points 16 apart.
		SHLQ(U8(2), stride)
		MOVQ(dst, to)
		MOVQ(U32(16), i)
		Label("columns3")
		four(to, stride, to, stride)
		ADDQ(step, to)
		DECQ(i)
		JNZ(LabelRef("columns3"))
	})
}

func (l lanes) winogradOutput() {
	TEXT("winogradOutput"+l.suffix, NOSPLIT, "func(dst, src, bias *float32, step, n int)")
	Pragma("noescape")
	Doc("winogradOutput" + l.suffix + " sets the 8 rows of dst [8,n] to the transform back of 64 points of src, step apart, plus bias.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	bias, step := Load(Param("bias"), GP64()), Load(Param("step"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	width := GP64()
	MOVQ(n, width)
	SHLQ(U8(2), width)
	SHLQ(U8(2), step)
	a, b := l.vector(0), l.vector(1)
	o := [2]VecPhysical{l.vector(2), l.vector(3)}
	rows := func(y, x int) VecPhysical { return l.vector(4 + 2*y + x) }
	sum := func(z, y, x int) VecPhysical { return l.vector(8 + 4*z + 2*y + x) }
	// gather adds v to the two sums of an axis as the i-th of four: o0 = m0+m1+m2, o1 = m1-m2-m3.
	gather := func(i int, v, first, second VecPhysical) {
		switch i {
		case 0:
			VMOVAPS(v, first)
		case 1:
			VADDPS(v, first, first)
			VMOVAPS(v, second)
		case 2:
			VADDPS(v, first, first)
			VSUBPS(v, second, second)
		case 3:
			VSUBPS(v, second, second)
		}
	}
	l.channels(n, []Register{dst, src, bias}, func() {
		at := GP64()
		MOVQ(src, at)
		for z := range 4 {
			for y := range 4 {
				l.load(Mem{Base: at}, o[0])
				l.load(Mem{Base: at, Index: step, Scale: 1}, a)
				l.load(Mem{Base: at, Index: step, Scale: 2}, b)
				ADDQ(step, at)
				VADDPS(a, o[0], o[0])
				VADDPS(b, o[0], o[0])
				VSUBPS(b, a, o[1])
				l.load(Mem{Base: at, Index: step, Scale: 2}, b)
				VSUBPS(b, o[1], o[1])
				LEAQ(Mem{Base: at, Index: step, Scale: 2}, at)
				ADDQ(step, at)
				for x := range 2 {
					gather(y, o[x], rows(0, x), rows(1, x))
				}
			}
			for y := range 2 {
				for x := range 2 {
					gather(z, rows(y, x), sum(0, y, x), sum(1, y, x))
				}
			}
		}
		l.load(Mem{Base: bias}, a)
		MOVQ(dst, at)
		for p := range 8 {
			v := sum(p/4, p/2%2, p%2)
			VADDPS(a, v, v)
			l.store(v, Mem{Base: at})
			if p < 7 {
				ADDQ(width, at)
			}
		}
	})
}
