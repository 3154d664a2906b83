package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/mmcloughlin/avo/gotypes"
)

// zmm lists the vector registers; sums take them from the front, operands from the back.
var zmm = []VecPhysical{
	Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
	Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
}

// tiles512 generates tile512x1 to tile512x14: rows of 32 columns, 28 sums at most, 2 registers for b and 2 for a.
func tiles512() {
	for rows := 1; rows <= 14; rows++ {
		tile512(fmt.Sprintf("tile512x%d", rows), rows, func(a, b, sum VecPhysical) { VFMADD231PS(a, b, sum) }, func(x, y, sum VecPhysical) { VADDPS(x, y, sum) })
	}
}

// tile512 generates a tile of products, of which product adds one to a sum.
func tile512(name string, rows int, product, add func(x, y, sum VecPhysical)) {
	sums, b0, b1 := zmm[:2*rows], zmm[28], zmm[29]
	tile{
		name: name, rows: rows, cols: 32, sums: sums, masked: true,
		prepare: func() { masks(Param("mask")) },
		step: func(a []Mem, b Register) {
			VMOVUPS_Z(Mem{Base: b}, K1, b0)
			VMOVUPS_Z(Mem{Base: b, Disp: 64}, K2, b1)
			for i := range rows {
				x := zmm[30+i%2]
				VBROADCASTSS(a[i], x)
				product(x, b0, sums[2*i])
				product(x, b1, sums[2*i+1])
			}
		},
		store: func(i int, from, c Register) {
			for j, mask := range []OpmaskPhysical{K1, K2} {
				x := zmm[30+j]
				VMOVUPS_Z(Mem{Base: from, Disp: 64 * j}, mask, x)
				add(sums[2*i+j], x, x)
				VMOVUPS(x, mask, Mem{Base: c, Disp: 64 * j})
			}
		},
	}.generate()
}

// masks loads the 32 bits of a mask parameter as two masks of 16 lanes: K1 and K2.
func masks(param gotypes.Component) {
	m := Load(param, GP32())
	KMOVW(m, K1)
	SHRL(U8(16), m)
	KMOVW(m, K2)
}

// tailMask sets k to the lowest n bits, n in the register at most 16.
func tailMask(n GPVirtual, k OpmaskPhysical) {
	m := GP32()
	MOVL(U32(0xffff), m)
	BZHIL(n.As32(), m, m)
	KMOVW(m, k)
}

func axpy512() {
	TEXT("axpy512", NOSPLIT, "func(s float32, n int, src, dst *float32)")
	Pragma("noescape")
	Doc("axpy512 adds s times n elements of src to dst.")
	s := zmm[0]
	VBROADCASTSS(must(Param("s")), s)
	n := Load(Param("n"), GP64()).(GPVirtual)
	src := Load(Param("src"), GP64())
	dst := Load(Param("dst"), GP64())
	Label("quad")
	CMPQ(n, U32(64))
	JLT(LabelRef("one"))
	for i := range 4 {
		VMOVUPS(Mem{Base: src, Disp: 64 * i}, zmm[1+i])
		VMOVUPS(Mem{Base: dst, Disp: 64 * i}, zmm[5+i])
	}
	for i := range 4 {
		VFMADD231PS(zmm[1+i], s, zmm[5+i])
		VMOVUPS(zmm[5+i], Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(U32(256), src)
	ADDQ(U32(256), dst)
	SUBQ(U32(64), n)
	JMP(LabelRef("quad"))
	Label("one")
	CMPQ(n, U32(16))
	JLT(LabelRef("tail"))
	VMOVUPS(Mem{Base: src}, zmm[1])
	VMOVUPS(Mem{Base: dst}, zmm[2])
	VFMADD231PS(zmm[1], s, zmm[2])
	VMOVUPS(zmm[2], Mem{Base: dst})
	ADDQ(U32(64), src)
	ADDQ(U32(64), dst)
	SUBQ(U32(16), n)
	JMP(LabelRef("one"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	tailMask(n, K1)
	VMOVUPS_Z(Mem{Base: src}, K1, zmm[1])
	VMOVUPS_Z(Mem{Base: dst}, K1, zmm[2])
	VFMADD231PS(zmm[1], s, zmm[2])
	VMOVUPS(zmm[2], K1, Mem{Base: dst})
	Label("done")
	VZEROUPPER()
	RET()
}

func must(c gotypes.Component) Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func adam512() {
	TEXT("adam512", NOSPLIT, "func(n int, p, grad, m, v *float32, rate, f1, f2, epsilon float32)")
	Pragma("noescape")
	Doc("adam512 makes one step on n parameters, as portableAdam.")
	n := Load(Param("n"), GP64()).(GPVirtual)
	p, g := Load(Param("p"), GP64()), Load(Param("grad"), GP64())
	m, v := Load(Param("m"), GP64()), Load(Param("v"), GP64())
	rate, f1, f2, eps := zmm[28], zmm[29], zmm[30], zmm[31]
	VBROADCASTSS(must(Param("rate")), rate)
	VBROADCASTSS(must(Param("f1")), f1)
	VBROADCASTSS(must(Param("f2")), f2)
	VBROADCASTSS(must(Param("epsilon")), eps)
	step := func(load func(from Register, to VecPhysical), store func(from VecPhysical, to Register)) {
		gi, mi, vi, pi, t := zmm[0], zmm[1], zmm[2], zmm[3], zmm[4]
		load(g, gi)
		load(m, mi)
		load(v, vi)
		load(p, pi)
		VSUBPS(mi, gi, t) // t = g - m
		VFMADD231PS(t, f1, mi)
		VMULPS(gi, gi, t)
		VSUBPS(vi, t, t) // t = g*g - v
		VFMADD231PS(t, f2, vi)
		VSQRTPS(vi, t)
		VADDPS(eps, t, t)
		VMULPS(rate, mi, gi)
		VDIVPS(t, gi, gi)
		VSUBPS(gi, pi, pi)
		store(mi, m)
		store(vi, v)
		store(pi, p)
	}
	Label("one")
	CMPQ(n, U32(16))
	JLT(LabelRef("tail"))
	step(func(from Register, to VecPhysical) { VMOVUPS(Mem{Base: from}, to) },
		func(from VecPhysical, to Register) { VMOVUPS(from, Mem{Base: to}) })
	for _, r := range []Register{p, g, m, v} {
		ADDQ(U32(64), r)
	}
	SUBQ(U32(16), n)
	JMP(LabelRef("one"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	tailMask(n, K1)
	step(func(from Register, to VecPhysical) { VMOVUPS_Z(Mem{Base: from}, K1, to) },
		func(from VecPhysical, to Register) { VMOVUPS(from, K1, Mem{Base: to}) })
	Label("done")
	VZEROUPPER()
	RET()
}
