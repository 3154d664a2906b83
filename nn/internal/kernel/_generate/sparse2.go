package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The AVX2 loops take whole vectors of 8 elements: n is a multiple of 8.

func spans2() {
	TEXT("spans2", NOSPLIT, "func(s float32, src, dst *float32, spans *int, count, n int)")
	Pragma("noescape")
	Doc("spans2 adds s times n elements of src to dst at each of count pairs of places.")
	VBROADCASTSS(must(Param("s")), Y15)
	src, dst := Load(Param("src"), GP64()), Load(Param("dst"), GP64())
	spans, count := Load(Param("spans"), GP64()), Load(Param("count"), GP64())
	whole := Load(Param("n"), GP64())
	SHRQ(U8(3), whole)
	from, to, left := GP64(), GP64(), GP64()
	Label("span")
	MOVQ(Mem{Base: spans}, from)
	MOVQ(Mem{Base: spans, Disp: 8}, to)
	LEAQ(Mem{Base: src, Index: from, Scale: 4}, from)
	LEAQ(Mem{Base: dst, Index: to, Scale: 4}, to)
	MOVQ(whole, left)
	blocks2(left, []Register{from, to}, func(i int) {
		VMOVUPS(Mem{Base: to, Disp: 32 * i}, ymm[i])
		VFMADD231PS(Mem{Base: from, Disp: 32 * i}, Y15, ymm[i])
		VMOVUPS(ymm[i], Mem{Base: to, Disp: 32 * i})
	})
	ADDQ(U8(16), spans)
	DECQ(count)
	JNZ(LabelRef("span"))
	VZEROUPPER()
	RET()
}

// blocks2 emits a loop over left vectors, twelve at a time and then one at a time, that moves the pointers along.
func blocks2(left Register, pointers []Register, each func(i int)) {
	Label("twelve")
	SUBQ(U8(12), left)
	JL(LabelRef("few"))
	for i := range 12 {
		each(i)
	}
	for _, p := range pointers {
		ADDQ(U32(384), p)
	}
	JMP(LabelRef("twelve"))
	Label("few")
	ADDQ(U8(12), left)
	JZ(LabelRef("through"))
	Label("one")
	each(0)
	for _, p := range pointers {
		ADDQ(U8(32), p)
	}
	DECQ(left)
	JNZ(LabelRef("one"))
	Label("through")
}

func pool2() {
	TEXT("pool2", NOSPLIT, "func(dst *float32, src *float32, places *int, size, n int, floor float32)")
	Pragma("noescape")
	Doc("pool2 sets dst to the maximum over size places of src, and at least floor, for each of n channels.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	places, size := Load(Param("places"), GP64()), Load(Param("size"), GP64())
	n := Load(Param("n"), GP64())
	at, i := GP64(), GP64()
	VBROADCASTSS(must(Param("floor")), Y3)
	Label("vector")
	MOVQ(Mem{Base: places}, at)
	VMOVUPS(Mem{Base: src, Index: at, Scale: 4}, Y0)
	MOVQ(U32(1), i)
	Label("position")
	CMPQ(i, size)
	JGE(LabelRef("pooled"))
	MOVQ(Mem{Base: places, Index: i, Scale: 8}, at)
	VMOVUPS(Mem{Base: src, Index: at, Scale: 4}, Y1)
	VMAXPS(Y1, Y0, Y0) // a NaN in the first operand wins
	INCQ(i)
	JMP(LabelRef("position"))
	Label("pooled")
	VMAXPS(Y0, Y3, Y0)
	VMOVUPS(Y0, Mem{Base: dst})
	ADDQ(U8(32), src)
	ADDQ(U8(32), dst)
	SUBQ(U8(8), n)
	JG(LabelRef("vector"))
	VZEROUPPER()
	RET()

	TEXT("poolAt2", NOSPLIT, "func(dst *float32, arg *uint8, src *float32, places *int, size, n int, floor float32)")
	Pragma("noescape")
	Doc("poolAt2 is pool2 that also records in arg which place held the first maximum, or Dead where it is not above floor.")
	dst, src = Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	arg := Load(Param("arg"), GP64())
	places, size = Load(Param("places"), GP64()), Load(Param("size"), GP64())
	n = Load(Param("n"), GP64())
	at, i = GP64(), GP64()
	broadcast2(1, Y4)
	broadcast2(255, Y5)
	VBROADCASTSS(must(Param("floor")), Y3)
	Label("vector")
	MOVQ(Mem{Base: places}, at)
	VMOVUPS(Mem{Base: src, Index: at, Scale: 4}, Y0)
	VPXOR(Y2, Y2, Y2) // which
	VPXOR(Y6, Y6, Y6) // the position at hand
	MOVQ(U32(1), i)
	Label("position")
	CMPQ(i, size)
	JGE(LabelRef("pooled"))
	MOVQ(Mem{Base: places, Index: i, Scale: 8}, at)
	VMOVUPS(Mem{Base: src, Index: at, Scale: 4}, Y1)
	VPADDD(Y4, Y6, Y6)
	VCMPPS(U8(0x16), Y0, Y1, Y7) // not less or equal: greater, or NaN
	VBLENDVPS(Y7, Y1, Y0, Y0)
	VBLENDVPS(Y7, Y6, Y2, Y2)
	INCQ(i)
	JMP(LabelRef("position"))
	Label("pooled")
	VCMPPS(U8(0x12), Y3, Y0, Y7) // less or equal
	VBLENDVPS(Y7, Y3, Y0, Y0)
	VBLENDVPS(Y7, Y5, Y2, Y2)
	VMOVUPS(Y0, Mem{Base: dst})
	VEXTRACTI128(U8(1), Y2, X7)
	VPACKUSDW(X7, X2, X2)
	VPACKUSWB(X2, X2, X2)
	VMOVQ(X2, Mem{Base: arg})
	ADDQ(U8(32), src)
	ADDQ(U8(32), dst)
	ADDQ(U8(8), arg)
	SUBQ(U8(8), n)
	JG(LabelRef("vector"))
	VZEROUPPER()
	RET()
}

func broadcast2(v uint32, to VecPhysical) {
	r := GP32()
	MOVL(U32(v), r)
	VMOVD(r, to.AsX())
	VPBROADCASTD(to.AsX(), to)
}

func unpool2() {
	TEXT("unpool2", NOSPLIT, "func(dst, sum, grad *float32, arg *uint8, places *int, size, n int)")
	Pragma("noescape")
	Doc("unpool2 sets the place of dst that arg names to grad and the other size-1 places to zero; it adds what was set to sum.")
	dst, sum := Load(Param("dst"), GP64()), Load(Param("sum"), GP64())
	grad, arg := Load(Param("grad"), GP64()), Load(Param("arg"), GP64())
	places, size := Load(Param("places"), GP64()), Load(Param("size"), GP64())
	n := Load(Param("n"), GP64())
	at, i := GP64(), GP64()
	broadcast2(1, Y4)
	broadcast2(255, Y5)
	Label("vector")
	VMOVUPS(Mem{Base: grad}, Y0)
	VPMOVZXBD(Mem{Base: arg}, Y1)
	VPCMPEQD(Y5, Y1, Y2)
	VANDNPS(Y0, Y2, Y2)
	VADDPS(Mem{Base: sum}, Y2, Y2)
	VMOVUPS(Y2, Mem{Base: sum})
	VPXOR(Y6, Y6, Y6)
	XORQ(i, i)
	Label("position")
	MOVQ(Mem{Base: places, Index: i, Scale: 8}, at)
	VPCMPEQD(Y6, Y1, Y3)
	VANDPS(Y0, Y3, Y3)
	VMOVUPS(Y3, Mem{Base: dst, Index: at, Scale: 4})
	VPADDD(Y4, Y6, Y6)
	INCQ(i)
	CMPQ(i, size)
	JLT(LabelRef("position"))
	ADDQ(U8(32), dst)
	ADDQ(U8(32), sum)
	ADDQ(U8(32), grad)
	ADDQ(U8(8), arg)
	SUBQ(U8(8), n)
	JG(LabelRef("vector"))
	VZEROUPPER()
	RET()
}

func voxels2() {
	TEXT("voxels2", NOSPLIT, "func(sums, table *float32, at, colour *int32, count, rows, stride, colours, n int)")
	Pragma("noescape")
	Doc("voxels2 adds, for each voxel i and row r, n elements of table at colour[i]*colours+r*n to sums at at[i]-r*stride.")
	sums, table := Load(Param("sums"), GP64()), Load(Param("table"), GP64())
	at, colour := Load(Param("at"), GP64()), Load(Param("colour"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	SHLQ(U8(2), stride)
	SHRQ(U8(3), n)
	from, to, next, left, row := GP64(), GP64(), GP64(), GP64(), GP64()
	Label("voxel")
	MOVLQSX(Mem{Base: at}, to)
	MOVLQSX(Mem{Base: colour}, from)
	IMULQ(must(Param("colours")), from)
	LEAQ(Mem{Base: sums, Index: to, Scale: 4}, to)
	LEAQ(Mem{Base: table, Index: from, Scale: 4}, from)
	MOVQ(must(Param("rows")), row)
	Label("row")
	MOVQ(to, next)
	SUBQ(stride, next)
	MOVQ(n, left)
	blocks2(left, []Register{from, to}, func(i int) {
		VMOVUPS(Mem{Base: to, Disp: 32 * i}, ymm[i])
		VADDPS(Mem{Base: from, Disp: 32 * i}, ymm[i], ymm[i])
		VMOVUPS(ymm[i], Mem{Base: to, Disp: 32 * i})
	})
	MOVQ(next, to)
	DECQ(row)
	JNZ(LabelRef("row"))
	ADDQ(U8(4), at)
	ADDQ(U8(4), colour)
	DECQ(must(Param("count")))
	JNZ(LabelRef("voxel"))
	VZEROUPPER()
	RET()
}

func outer2() {
	TEXT("outer2", NOSPLIT, "func(dw, plane, diff *float32, at, colour *int32, count, rows, stride, n int)")
	Pragma("noescape")
	Doc("outer2 adds to dw [rows,3,3,n], for each voxel i, row r and k, the products of diff [colour[i],3] and plane at at[i]-r*stride+(2-k)*n.")
	dw, plane := Load(Param("dw"), GP64()), Load(Param("plane"), GP64())
	diff := Load(Param("diff"), GP64())
	width := Load(Param("n"), GP64()) // of a row of n, in bytes
	at, colour := Load(Param("at"), GP64()), Load(Param("colour"), GP64())
	left, to, from, i, rgb, next := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	SHLQ(U8(2), width)
	Label("row")
	MOVQ(width, left)
	MOVQ(dw, next)
	MOVQ(plane, from)
	Label("channels")
	MOVQ(next, to)
	for i := range 9 {
		VMOVUPS(Mem{Base: to}, ymm[i])
		ADDQ(width, to)
	}
	XORQ(i, i)
	Label("voxel")
	MOVLQSX(Mem{Base: at, Index: i, Scale: 4}, to)
	LEAQ(Mem{Base: from, Index: to, Scale: 4}, to)
	MOVLQSX(Mem{Base: colour, Index: i, Scale: 4}, rgb)
	LEAQ(Mem{Base: rgb, Index: rgb, Scale: 2}, rgb)
	LEAQ(Mem{Base: diff, Index: rgb, Scale: 4}, rgb)
	for c := range 3 {
		VBROADCASTSS(Mem{Base: rgb, Disp: 4 * c}, ymm[12+c])
	}
	VMOVUPS(Mem{Base: to, Index: width, Scale: 2}, Y9)
	VMOVUPS(Mem{Base: to, Index: width, Scale: 1}, Y10)
	VMOVUPS(Mem{Base: to}, Y11)
	for k := range 3 {
		for c := range 3 {
			VFMADD231PS(ymm[12+c], ymm[9+k], ymm[3*k+c])
		}
	}
	INCQ(i)
	CMPQ(i, must(Param("count")))
	JLT(LabelRef("voxel"))
	MOVQ(next, to)
	for i := range 9 {
		VMOVUPS(ymm[i], Mem{Base: to})
		ADDQ(width, to)
	}
	ADDQ(U8(32), next)
	ADDQ(U8(32), from)
	SUBQ(U8(32), left)
	JG(LabelRef("channels"))
	LEAQ(Mem{Base: width, Index: width, Scale: 8}, to)
	ADDQ(to, dw) // nine rows on
	MOVQ(must(Param("stride")), from)
	SHLQ(U8(2), from)
	SUBQ(from, plane)
	DECQ(must(Param("rows")))
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
