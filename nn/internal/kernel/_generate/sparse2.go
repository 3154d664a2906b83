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
	VPXOR(Y6, Y6, Y6) // the current position
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

func respond2() {
	TEXT("respond2", NOSPLIT, "func(plane, w, diff *float32, at, colour *int32, count, rows, stride, n int)")
	Pragma("noescape")
	Doc("respond2 adds to plane at at[i]-r*stride+(2-k)*n, for each voxel i, row r and k, the product of diff [colour[i],3] and w [r,k,3,n].")
	dw, plane := Load(Param("w"), GP64()), Load(Param("plane"), GP64())
	diff := Load(Param("diff"), GP64())
	width := Load(Param("n"), GP64()) // of a row of n, in bytes
	at, colour := Load(Param("at"), GP64()), Load(Param("colour"), GP64())
	left, to, from, i, second, rgb, next := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
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
	voxel := func(i Register) {
		MOVLQSX(Mem{Base: at, Index: i, Scale: 4}, to)
		LEAQ(Mem{Base: from, Index: to, Scale: 4}, to)
		MOVLQSX(Mem{Base: colour, Index: i, Scale: 4}, rgb)
		LEAQ(Mem{Base: rgb, Index: rgb, Scale: 2}, rgb)
		LEAQ(Mem{Base: diff, Index: rgb, Scale: 4}, rgb)
		for c := range 3 {
			VBROADCASTSS(Mem{Base: rgb, Disp: 4 * c}, ymm[12+c])
		}
		for k := 2; k >= 0; k-- {
			t := ymm[9+k]
			VMULPS(Y12, ymm[3*k], t)
			VFMADD231PS(Y13, ymm[3*k+1], t)
			VFMADD231PS(Y14, ymm[3*k+2], t)
			VADDPS(Mem{Base: to}, t, t)
			VMOVUPS(t, Mem{Base: to})
			if k > 0 {
				ADDQ(width, to)
			}
		}
	}
	eachOfTwoHalves(i, second, must(Param("count")), voxel)
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

func gather2() {
	TEXT("gather2", NOSPLIT, "func(dst, src *float32, starts *int32, count int, spans *int, runs, n, patch int)")
	Pragma("noescape")
	Doc("gather2 copies, for each of count starts, n elements of src at start plus each span's first place to dst at its second; rows of dst are patch long.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	starts, patch := Load(Param("starts"), GP64()), Load(Param("patch"), GP64())
	n := Load(Param("n"), GP64())
	row, spans, runs := GP64(), GP64(), GP64()
	from, to, left := GP64(), GP64(), GP64()
	Label("patch")
	MOVLQSX(Mem{Base: starts}, row)
	LEAQ(Mem{Base: src, Index: row, Scale: 4}, row)
	MOVQ(must(Param("spans")), spans)
	MOVQ(must(Param("runs")), runs)
	Label("span")
	MOVQ(Mem{Base: spans}, from)
	MOVQ(Mem{Base: spans, Disp: 8}, to)
	LEAQ(Mem{Base: row, Index: from, Scale: 4}, from)
	LEAQ(Mem{Base: dst, Index: to, Scale: 4}, to)
	MOVQ(n, left)
	Label("eight")
	SUBQ(U8(8), left)
	JL(LabelRef("few"))
	VMOVUPS(Mem{Base: from}, Y0)
	VMOVUPS(Y0, Mem{Base: to})
	ADDQ(U8(32), from)
	ADDQ(U8(32), to)
	JMP(LabelRef("eight"))
	Label("few")
	ADDQ(U8(8), left)
	JZ(LabelRef("next"))
	Label("one")
	VMOVSS(Mem{Base: from}, X0)
	VMOVSS(X0, Mem{Base: to})
	ADDQ(U8(4), from)
	ADDQ(U8(4), to)
	DECQ(left)
	JNZ(LabelRef("one"))
	Label("next")
	ADDQ(U8(16), spans)
	DECQ(runs)
	JNZ(LabelRef("span"))
	LEAQ(Mem{Base: dst, Index: patch, Scale: 4}, dst)
	ADDQ(U8(4), starts)
	DECQ(must(Param("count")))
	JNZ(LabelRef("patch"))
	VZEROUPPER()
	RET()
}

// dropout2 drops elements by random numbers that count up; see kernel.Dropout.
func dropout2() {
	TEXT("dropout2", NOSPLIT, "func(dst, src *float32, bits *uint16, n int, key, threshold uint64, scale float32)")
	Pragma("noescape")
	Doc("dropout2 is Dropout on n elements, a multiple of 16.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	bits, n := Load(Param("bits"), GP64()), Load(Param("n"), GP64())
	r, word := GP64(), GP64()
	constants := AllocLocal(7 * 32)
	constant := func(i int, lanes [4]uint64) Mem {
		for j, v := range lanes {
			MOVQ(U64(v), r)
			MOVQ(r, constants.Offset(32*i+8*j))
		}
		return constants.Offset(32 * i)
	}
	all := func(v uint64) [4]uint64 { return [4]uint64{v, v, v, v} }
	golden := constant(0, all(0x9e3779b97f4a7c15))
	multipliers := []Mem{constant(1, all(0xbf58476d1ce4e5b9)), constant(2, all(0x94d049bb133111eb))}
	upper := []Mem{constant(3, all(0xbf58476d)), constant(4, all(0x94d049bb))}
	four := constant(5, all(4))
	counter, threshold, scale := Y0, Y1, Y2
	lanes := constant(6, [4]uint64{0, 1, 2, 3})
	VPBROADCASTQ(must(Param("key")), counter)
	VPADDQ(lanes, counter, counter)
	VPBROADCASTQ(must(Param("threshold")), threshold)
	VBROADCASTSS(must(Param("scale")), scale)
	bitMasks2(r, Y14, Y15)
	Label("loop")
	XORQ(word, word)
	for i := range 4 {
		x, t, u := Y3, Y4, Y5
		VPADDQ(golden, counter, x)
		VPADDQ(four, counter, counter)
		for k, shift := range []int{30, 27} {
			VPSRLQ(U8(shift), x, t)
			VPXOR(t, x, x)
			// The lower 64 bits of a product by three products of 32 bits.
			VPSRLQ(U8(32), x, t)
			VPMULUDQ(multipliers[k], t, t)
			VPMULUDQ(upper[k], x, u)
			VPADDQ(u, t, t)
			VPSLLQ(U8(32), t, t)
			VPMULUDQ(multipliers[k], x, x)
			VPADDQ(t, x, x)
		}
		VPSRLQ(U8(31), x, t)
		VPXOR(t, x, x)
		VPSRLQ(U8(11), x, x)
		VPCMPGTQ(x, threshold, x) // below the threshold: falls
		VMOVMSKPD(x, r.As32())
		if i > 0 {
			SHLL(U8(4*i), r.As32())
		}
		ORL(r.As32(), word.As32())
	}
	NOTL(word.As32())
	MOVW(word.As16(), Mem{Base: bits})
	keepWord2(word, src, dst, scale, Y14, Y15)
	ADDQ(U8(64), src)
	ADDQ(U8(64), dst)
	ADDQ(U8(2), bits)
	SUBQ(U8(16), n)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()

	TEXT("keep2", NOSPLIT, "func(dst, src *float32, bits *uint16, n int, scale float32)")
	Pragma("noescape")
	Doc("keep2 sets n elements of dst, a multiple of 16, to scale times src where the bit is set, else to zero.")
	dst, src = Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	bits, n = Load(Param("bits"), GP64()), Load(Param("n"), GP64())
	r, word = GP64(), GP64()
	VBROADCASTSS(must(Param("scale")), Y2)
	bitMasks2(r, Y14, Y15)
	Label("loop")
	MOVWLZX(Mem{Base: bits}, word.As32())
	keepWord2(word, src, dst, Y2, Y14, Y15)
	ADDQ(U8(64), src)
	ADDQ(U8(64), dst)
	ADDQ(U8(2), bits)
	SUBQ(U8(16), n)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// bitMasks2 fills two vectors with the bits 0 to 15, one a lane.
func bitMasks2(r GPVirtual, low, high VecPhysical) {
	lanes := AllocLocal(32)
	for i := range 4 {
		MOVQ(U64(uint64(1)<<(2*i)|uint64(2)<<(2*i+32)), r)
		MOVQ(r, lanes.Offset(8*i))
	}
	VMOVUPS(lanes, low)
	VPSLLD(U8(8), low, high)
}

// keepWord2 scales 16 elements of which word tells whether they stay.
func keepWord2(word GPVirtual, src, dst Register, scale, low, high VecPhysical) {
	VMOVD(word.As32(), X6)
	VPBROADCASTD(X6, Y6)
	for i, bit := range []VecPhysical{low, high} {
		VPAND(bit, Y6, Y7)
		VPCMPEQD(bit, Y7, Y7)
		VANDPS(Mem{Base: src, Disp: 32 * i}, Y7, Y7)
		VMULPS(scale, Y7, Y7)
		VMOVUPS(Y7, Mem{Base: dst, Disp: 32 * i})
	}
}
