package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var ymm = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}

// tiles2 generates tile2x1 to tile2x6: rows of 16 columns, 12 sums at most, 2 registers for b and 2 for a.
func tiles2() {
	for rows := 1; rows <= 6; rows++ {
		tile2(rows)
	}
}

func tile2(rows int) {
	sums := ymm[:2*rows]
	tile{
		name: fmt.Sprintf("tile2x%d", rows), rows: rows, cols: 16, sums: sums,
		step: func(a []Mem, b Register) {
			VMOVUPS(Mem{Base: b}, Y12)
			VMOVUPS(Mem{Base: b, Disp: 32}, Y13)
			for i := range rows {
				x := ymm[14+i%2]
				VBROADCASTSS(a[i], x)
				VFMADD231PS(x, Y12, sums[2*i])
				VFMADD231PS(x, Y13, sums[2*i+1])
			}
		},
		store: func(i int, from, c Register) {
			for j, sum := range sums[2*i : 2*i+2] {
				VADDPS(Mem{Base: from, Disp: 32 * j}, sum, sum)
				VMOVUPS(sum, Mem{Base: c, Disp: 32 * j})
			}
		},
	}.generate()
}

func axpy2() {
	TEXT("axpy2", NOSPLIT, "func(s float32, n int, src, dst *float32)")
	Pragma("noescape")
	Doc("axpy2 adds s times n elements of src to dst; n is a multiple of 8.")
	VBROADCASTSS(must(Param("s")), Y0)
	n := Load(Param("n"), GP64())
	src := Load(Param("src"), GP64())
	dst := Load(Param("dst"), GP64())
	Label("quad")
	CMPQ(n, U32(32))
	JLT(LabelRef("one"))
	for i := range 4 {
		VMOVUPS(Mem{Base: dst, Disp: 32 * i}, ymm[1+i])
		VFMADD231PS(Mem{Base: src, Disp: 32 * i}, Y0, ymm[1+i])
		VMOVUPS(ymm[1+i], Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(U32(128), src)
	ADDQ(U32(128), dst)
	SUBQ(U32(32), n)
	JMP(LabelRef("quad"))
	Label("one")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	VMOVUPS(Mem{Base: dst}, Y1)
	VFMADD231PS(Mem{Base: src}, Y0, Y1)
	VMOVUPS(Y1, Mem{Base: dst})
	ADDQ(U32(32), src)
	ADDQ(U32(32), dst)
	SUBQ(U32(8), n)
	JMP(LabelRef("one"))
	Label("done")
	VZEROUPPER()
	RET()
}

func adam2() {
	TEXT("adam2", NOSPLIT, "func(n int, p, grad, m, v *float32, rate, f1, f2, epsilon float32)")
	Pragma("noescape")
	Doc("adam2 makes one step on n parameters, as portableAdam; n is a positive multiple of 8.")
	n := Load(Param("n"), GP64())
	p, g := Load(Param("p"), GP64()), Load(Param("grad"), GP64())
	m, v := Load(Param("m"), GP64()), Load(Param("v"), GP64())
	VBROADCASTSS(must(Param("rate")), Y12)
	VBROADCASTSS(must(Param("f1")), Y13)
	VBROADCASTSS(must(Param("f2")), Y14)
	VBROADCASTSS(must(Param("epsilon")), Y15)
	Label("one")
	VMOVUPS(Mem{Base: g}, Y0)
	VMOVUPS(Mem{Base: m}, Y1)
	VMOVUPS(Mem{Base: v}, Y2)
	VMOVUPS(Mem{Base: p}, Y3)
	VSUBPS(Y1, Y0, Y4) // g - m
	VFMADD231PS(Y4, Y13, Y1)
	VMULPS(Y0, Y0, Y4)
	VSUBPS(Y2, Y4, Y4) // g*g - v
	VFMADD231PS(Y4, Y14, Y2)
	VSQRTPS(Y2, Y4)
	VADDPS(Y15, Y4, Y4)
	VMULPS(Y12, Y1, Y0)
	VDIVPS(Y4, Y0, Y0)
	VSUBPS(Y0, Y3, Y3)
	VMOVUPS(Y1, Mem{Base: m})
	VMOVUPS(Y2, Mem{Base: v})
	VMOVUPS(Y3, Mem{Base: p})
	for _, r := range []Register{p, g, m, v} {
		ADDQ(U32(32), r)
	}
	SUBQ(U32(8), n)
	JNZ(LabelRef("one"))
	VZEROUPPER()
	RET()
}
