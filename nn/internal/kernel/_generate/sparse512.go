package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// spans512 is the inner loop of the sparse backward passes: one call a surviving gradient.
func spans512() {
	TEXT("spans512", NOSPLIT, "func(s float32, src, dst *float32, spans *int, count, n int)")
	Pragma("noescape")
	Doc("spans512 adds s times n elements of src to dst at each of count pairs of places.")
	s := zmm[0]
	VBROADCASTSS(must(Param("s")), s)
	src := Load(Param("src"), GP64())
	dst := Load(Param("dst"), GP64())
	spans := Load(Param("spans"), GP64())
	count := Load(Param("count"), GP64())
	whole := Load(Param("n"), GP64())
	tail := GP64()
	MOVQ(whole, tail)
	ANDQ(U8(15), tail)
	tailMask(tail, K1)
	SHRQ(U8(4), whole) // vectors of 16
	from, to, left := GP64(), GP64(), GP64()
	Label("span")
	MOVQ(Mem{Base: spans}, from)
	MOVQ(Mem{Base: spans, Disp: 8}, to)
	LEAQ(Mem{Base: src, Index: from, Scale: 4}, from)
	LEAQ(Mem{Base: dst, Index: to, Scale: 4}, to)
	MOVQ(whole, left)
	Label("six")
	SUBQ(U8(6), left)
	JL(LabelRef("few"))
	for i := range 6 {
		VMOVUPS(Mem{Base: to, Disp: 64 * i}, zmm[1+i])
	}
	for i := range 6 {
		VFMADD231PS(Mem{Base: from, Disp: 64 * i}, s, zmm[1+i])
		VMOVUPS(zmm[1+i], Mem{Base: to, Disp: 64 * i})
	}
	ADDQ(U32(384), from)
	ADDQ(U32(384), to)
	JMP(LabelRef("six"))
	Label("few")
	ADDQ(U8(6), left)
	JZ(LabelRef("tail"))
	Label("one")
	VMOVUPS(Mem{Base: to}, zmm[1])
	VFMADD231PS(Mem{Base: from}, s, zmm[1])
	VMOVUPS(zmm[1], Mem{Base: to})
	ADDQ(U32(64), from)
	ADDQ(U32(64), to)
	DECQ(left)
	JNZ(LabelRef("one"))
	Label("tail")
	TESTQ(tail, tail)
	JZ(LabelRef("next"))
	VMOVUPS_Z(Mem{Base: to}, K1, zmm[1])
	VMOVUPS_Z(Mem{Base: from}, K1, zmm[2])
	VFMADD231PS(zmm[2], s, zmm[1])
	VMOVUPS(zmm[1], K1, Mem{Base: to})
	Label("next")
	ADDQ(U8(16), spans)
	DECQ(count)
	JNZ(LabelRef("span"))
	VZEROUPPER()
	RET()
}

// eachVector16 emits body for vectors of 16 channels, n channels in all, the last one under mask K1; body must move
// its pointers itself.
func eachVector16(n GPVirtual, body func()) {
	Label("vector")
	m := GP64()
	limit := GP64()
	MOVQ(U32(16), limit)
	MOVQ(n, m)
	CMPQ(m, limit)
	CMOVQGT(limit, m)
	tailMask(m, K1)
	body()
	SUBQ(U8(16), n)
	JG(LabelRef("vector"))
	VZEROUPPER()
	RET()
}

// pool512 takes the maximum of a window, with or without its place.
func pool512() {
	TEXT("pool512", NOSPLIT, "func(dst *float32, src *float32, places *int, size, n int, floor float32)")
	Pragma("noescape")
	Doc("pool512 sets dst to the maximum over size places of src, and at least floor, for each of n channels.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	places, size := Load(Param("places"), GP64()), Load(Param("size"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	VBROADCASTSS(must(Param("floor")), zmm[3])
	eachVector16(n, func() {
		at, i := GP64(), GP64()
		MOVQ(Mem{Base: places}, at)
		VMOVUPS_Z(Mem{Base: src, Index: at, Scale: 4}, K1, zmm[0])
		MOVQ(U32(1), i)
		Label("position")
		CMPQ(i, size)
		JGE(LabelRef("pooled"))
		MOVQ(Mem{Base: places, Index: i, Scale: 8}, at)
		VMOVUPS_Z(Mem{Base: src, Index: at, Scale: 4}, K1, zmm[1])
		VMAXPS(zmm[1], zmm[0], zmm[0]) // a NaN in the first operand wins
		INCQ(i)
		JMP(LabelRef("position"))
		Label("pooled")
		VMAXPS(zmm[0], zmm[3], zmm[0])
		VMOVUPS(zmm[0], K1, Mem{Base: dst})
		ADDQ(U8(64), src)
		ADDQ(U8(64), dst)
	})

	TEXT("poolAt512", NOSPLIT, "func(dst *float32, arg *uint8, src *float32, places *int, size, n int, floor float32)")
	Pragma("noescape")
	Doc("poolAt512 is pool512 that also records in arg which place held the first maximum, or Dead where it is not above floor.")
	dst, src = Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	arg := Load(Param("arg"), GP64())
	places, size = Load(Param("places"), GP64()), Load(Param("size"), GP64())
	n = Load(Param("n"), GP64()).(GPVirtual)
	one := GP32()
	MOVL(U32(1), one)
	VPBROADCASTD(one, zmm[4])
	MOVL(U32(255), one)
	VPBROADCASTD(one, zmm[5])
	VBROADCASTSS(must(Param("floor")), zmm[3])
	eachVector16(n, func() {
		at, i := GP64(), GP64()
		MOVQ(Mem{Base: places}, at)
		VMOVUPS_Z(Mem{Base: src, Index: at, Scale: 4}, K1, zmm[0])
		VPXORD(zmm[2], zmm[2], zmm[2]) // which
		VPXORD(zmm[6], zmm[6], zmm[6]) // the current position
		MOVQ(U32(1), i)
		Label("position")
		CMPQ(i, size)
		JGE(LabelRef("pooled"))
		MOVQ(Mem{Base: places, Index: i, Scale: 8}, at)
		VMOVUPS_Z(Mem{Base: src, Index: at, Scale: 4}, K1, zmm[1])
		VPADDD(zmm[4], zmm[6], zmm[6])
		VCMPPS(U8(0x16), zmm[0], zmm[1], K2) // not less or equal: greater, or NaN
		VMOVAPS(zmm[1], K2, zmm[0])
		VMOVDQA32(zmm[6], K2, zmm[2])
		INCQ(i)
		JMP(LabelRef("position"))
		Label("pooled")
		VCMPPS(U8(0x12), zmm[3], zmm[0], K2) // less or equal
		VMOVAPS(zmm[3], K2, zmm[0])
		VMOVDQA32(zmm[5], K2, zmm[2])
		VMOVUPS(zmm[0], K1, Mem{Base: dst})
		VPMOVDB(zmm[2], K1, Mem{Base: arg})
		ADDQ(U8(64), src)
		ADDQ(U8(64), dst)
		ADDQ(U8(16), arg)
	})
}

// unpool512 spreads the gradient of a window.
func unpool512() {
	TEXT("unpool512", NOSPLIT, "func(dst, sum, grad *float32, arg *uint8, places *int, size, n int)")
	Pragma("noescape")
	Doc("unpool512 sets the place of dst that arg names to grad and the other size-1 places to zero; it adds what was set to sum.")
	dst, sum := Load(Param("dst"), GP64()), Load(Param("sum"), GP64())
	grad, arg := Load(Param("grad"), GP64()), Load(Param("arg"), GP64())
	places, size := Load(Param("places"), GP64()), Load(Param("size"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	one := GP32()
	MOVL(U32(1), one)
	VPBROADCASTD(one, zmm[4])
	MOVL(U32(255), one)
	VPBROADCASTD(one, zmm[5])
	eachVector16(n, func() {
		at, i := GP64(), GP64()
		VMOVUPS_Z(Mem{Base: grad}, K1, zmm[0])
		VPMOVZXBD_Z(Mem{Base: arg}, K1, zmm[1])
		VPCMPD(U8(4), zmm[5], zmm[1], K1, K2) // alive
		VMOVUPS_Z(Mem{Base: sum}, K1, zmm[2])
		VADDPS(zmm[0], zmm[2], K2, zmm[2])
		VMOVUPS(zmm[2], K1, Mem{Base: sum})
		VPXORD(zmm[6], zmm[6], zmm[6])
		XORQ(i, i)
		Label("position")
		MOVQ(Mem{Base: places, Index: i, Scale: 8}, at)
		VPCMPEQD(zmm[6], zmm[1], K2)
		VMOVAPS_Z(zmm[0], K2, zmm[3])
		VMOVUPS(zmm[3], K1, Mem{Base: dst, Index: at, Scale: 4})
		VPADDD(zmm[4], zmm[6], zmm[6])
		INCQ(i)
		CMPQ(i, size)
		JLT(LabelRef("position"))
		ADDQ(U8(64), dst)
		ADDQ(U8(64), sum)
		ADDQ(U8(64), grad)
		ADDQ(U8(16), arg)
	})
}

// voxels512 is the inner loop of the palette convolution.
func voxels512() {
	TEXT("voxels512", NOSPLIT, "func(sums, table *float32, at, colour *int32, count, rows, stride, colours, n int)")
	Pragma("noescape")
	Doc("voxels512 adds, for each voxel i and row r, n elements of table at colour[i]*colours+r*n to sums at at[i]-r*stride; n is a multiple of 16.")
	sums, table := Load(Param("sums"), GP64()), Load(Param("table"), GP64())
	at, colour := Load(Param("at"), GP64()), Load(Param("colour"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	SHLQ(U8(2), stride)
	SHRQ(U8(4), n)
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
	Label("six")
	SUBQ(U8(6), left)
	JL(LabelRef("few"))
	for i := range 6 {
		VMOVUPS(Mem{Base: to, Disp: 64 * i}, zmm[i])
	}
	for i := range 6 {
		VADDPS(Mem{Base: from, Disp: 64 * i}, zmm[i], zmm[i])
	}
	for i := range 6 {
		VMOVUPS(zmm[i], Mem{Base: to, Disp: 64 * i})
	}
	ADDQ(U32(384), from)
	ADDQ(U32(384), to)
	JMP(LabelRef("six"))
	Label("few")
	ADDQ(U8(6), left)
	JZ(LabelRef("next"))
	Label("one")
	VMOVUPS(Mem{Base: to}, zmm[0])
	VADDPS(Mem{Base: from}, zmm[0], zmm[0])
	VMOVUPS(zmm[0], Mem{Base: to})
	ADDQ(U8(64), from)
	ADDQ(U8(64), to)
	DECQ(left)
	JNZ(LabelRef("one"))
	Label("next")
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

// outer512 is the inner loop of the palette convolution's weight gradient, for the common kernel of width 3 over
// three colour channels.
func outer512() {
	TEXT("outer512", NOSPLIT, "func(dw, plane, diff *float32, at, colour *int32, count, rows, stride, n int)")
	Pragma("noescape")
	Doc("outer512 adds to dw [rows,3,3,n], for each voxel i, row r and k, the products of diff [colour[i],3] and plane at at[i]-r*stride+(2-k)*n.")
	dw, plane := Load(Param("dw"), GP64()), Load(Param("plane"), GP64())
	diff := Load(Param("diff"), GP64())
	width := Load(Param("n"), GP64()) // of a row of n, in bytes
	left, to, from := GP64(), GP64(), GP64()
	i, rgb, next := GP64(), GP64(), GP64()
	at, colour := Load(Param("at"), GP64()), Load(Param("colour"), GP64())
	low, high := K1, K2
	sum := func(k, c, half int) VecPhysical { return zmm[(3*k+c)*2+half] }

	SHLQ(U8(2), width)
	Label("row")
	MOVQ(width, left)
	MOVQ(dw, next)
	MOVQ(plane, from)
	Label("channels")
	// The next 32 channels, or as many as there are.
	m, all := GP64(), GP64()
	MOVQ(left, m)
	SHRQ(U8(2), m)
	MOVQ(U32(32), all)
	CMPQ(m, all)
	CMOVQGT(all, m)
	MOVQ(I32(-1), all)
	BZHIQ(m, all, all)
	KMOVW(all.As32(), low)
	SHRQ(U8(16), all)
	KMOVW(all.As32(), high)
	MOVQ(next, to)
	for k := range 3 {
		for c := range 3 {
			VMOVUPS_Z(Mem{Base: to}, low, sum(k, c, 0))
			VMOVUPS_Z(Mem{Base: to, Disp: 64}, high, sum(k, c, 1))
			ADDQ(width, to)
		}
	}
	XORQ(i, i)
	Label("voxel")
	MOVLQSX(Mem{Base: at, Index: i, Scale: 4}, to)
	LEAQ(Mem{Base: from, Index: to, Scale: 4}, to)
	MOVLQSX(Mem{Base: colour, Index: i, Scale: 4}, rgb)
	LEAQ(Mem{Base: rgb, Index: rgb, Scale: 2}, rgb)
	LEAQ(Mem{Base: diff, Index: rgb, Scale: 4}, rgb)
	for c := range 3 {
		VBROADCASTSS(Mem{Base: rgb, Disp: 4 * c}, zmm[24+c])
	}
	for k := 2; k >= 0; k-- {
		VMOVUPS_Z(Mem{Base: to}, low, zmm[18+2*k])
		VMOVUPS_Z(Mem{Base: to, Disp: 64}, high, zmm[19+2*k])
		if k > 0 {
			ADDQ(width, to)
		}
	}
	for k := range 3 {
		for c := range 3 {
			VFMADD231PS(zmm[24+c], zmm[18+2*k], sum(k, c, 0))
			VFMADD231PS(zmm[24+c], zmm[19+2*k], sum(k, c, 1))
		}
	}
	INCQ(i)
	CMPQ(i, must(Param("count")))
	JLT(LabelRef("voxel"))
	MOVQ(next, to)
	for k := range 3 {
		for c := range 3 {
			VMOVUPS(sum(k, c, 0), low, Mem{Base: to})
			VMOVUPS(sum(k, c, 1), high, Mem{Base: to, Disp: 64})
			ADDQ(width, to)
		}
	}
	ADDQ(U32(128), next)
	ADDQ(U32(128), from)
	SUBQ(U32(128), left)
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

// eachOfTwoHalves emits body for 0 up to count in registers i and j, in turn from the end of each half.
// Neighbouring voxels follow each other in a list and add to the same outputs: so one need not wait for what the
// one before it stored.
func eachOfTwoHalves(i, j Register, count Mem, body func(i Register)) {
	MOVQ(count, i)
	MOVQ(i, j)
	SHRQ(U8(1), i)
	ANDQ(I8(-2), j)
	CMPQ(j, count)
	JEQ(LabelRef("even"))
	body(j)
	Label("even")
	TESTQ(i, i)
	JZ(LabelRef("done"))
	Label("pair")
	DECQ(i)
	DECQ(j)
	body(i)
	body(j)
	TESTQ(i, i)
	JNZ(LabelRef("pair"))
	Label("done")
}

// respond512 is the inner loop of the palette convolution for the common kernel of width 3 over three colour
// channels: a row of taps stays in registers, which is faster than reading responses from a table that does not fit
// the first-level cache.
func respond512() {
	TEXT("respond512", NOSPLIT, "func(plane, w, diff *float32, at, colour *int32, count, rows, stride, n int)")
	Pragma("noescape")
	Doc("respond512 adds to plane at at[i]-r*stride+(2-k)*n, for each voxel i, row r and k, the product of diff [colour[i],3] and w [r,k,3,n].")
	dw, plane := Load(Param("w"), GP64()), Load(Param("plane"), GP64())
	diff := Load(Param("diff"), GP64())
	width := Load(Param("n"), GP64()) // of a row of n, in bytes
	left, to, from := GP64(), GP64(), GP64()
	i, second, rgb, next := GP64(), GP64(), GP64(), GP64()
	at, colour := Load(Param("at"), GP64()), Load(Param("colour"), GP64())
	low, high := K1, K2
	weight := func(k, c, half int) VecPhysical { return zmm[(3*k+c)*2+half] }

	SHLQ(U8(2), width)
	Label("row")
	MOVQ(width, left)
	MOVQ(dw, next)
	MOVQ(plane, from)
	Label("channels")
	// The next 32 channels, or as many as there are.
	m, all := GP64(), GP64()
	MOVQ(left, m)
	SHRQ(U8(2), m)
	MOVQ(U32(32), all)
	CMPQ(m, all)
	CMOVQGT(all, m)
	MOVQ(I32(-1), all)
	BZHIQ(m, all, all)
	KMOVW(all.As32(), low)
	SHRQ(U8(16), all)
	KMOVW(all.As32(), high)
	MOVQ(next, to)
	for k := range 3 {
		for c := range 3 {
			VMOVUPS_Z(Mem{Base: to}, low, weight(k, c, 0))
			VMOVUPS_Z(Mem{Base: to, Disp: 64}, high, weight(k, c, 1))
			ADDQ(width, to)
		}
	}
	voxel := func(i Register) {
		MOVLQSX(Mem{Base: at, Index: i, Scale: 4}, to)
		LEAQ(Mem{Base: from, Index: to, Scale: 4}, to)
		MOVLQSX(Mem{Base: colour, Index: i, Scale: 4}, rgb)
		LEAQ(Mem{Base: rgb, Index: rgb, Scale: 2}, rgb)
		LEAQ(Mem{Base: diff, Index: rgb, Scale: 4}, rgb)
		for c := range 3 {
			VBROADCASTSS(Mem{Base: rgb, Disp: 4 * c}, zmm[24+c])
		}
		// The products are summed before they meet what is in memory, which the voxel before may just have written.
		for k := 2; k >= 0; k-- {
			for half, mask := range []OpmaskPhysical{low, high} {
				t, have := zmm[18+2*k+half], zmm[27+half]
				VMULPS(zmm[24], weight(k, 0, half), t)
				VFMADD231PS(zmm[25], weight(k, 1, half), t)
				VFMADD231PS(zmm[26], weight(k, 2, half), t)
				VMOVUPS_Z(Mem{Base: to, Disp: 64 * half}, mask, have)
				VADDPS(t, have, t)
				VMOVUPS(t, mask, Mem{Base: to, Disp: 64 * half})
			}
			if k > 0 {
				ADDQ(width, to)
			}
		}
	}
	eachOfTwoHalves(i, second, must(Param("count")), voxel)
	ADDQ(U32(128), next)
	ADDQ(U32(128), from)
	SUBQ(U32(128), left)
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

// dropout512 drops elements by random numbers that count up; see kernel.Dropout.
func dropout512() {
	TEXT("dropout512", NOSPLIT, "func(dst, src *float32, bits *uint16, n int, key, threshold uint64, scale float32)")
	Pragma("noescape")
	Doc("dropout512 is Dropout on n elements, a multiple of 16.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	bits, n := Load(Param("bits"), GP64()), Load(Param("n"), GP64())
	r := GP64()
	constant := func(v uint64, z VecPhysical) {
		MOVQ(U64(v), r)
		VPBROADCASTQ(r, z)
	}
	golden, m1, m2, threshold, step := zmm[20], zmm[21], zmm[22], zmm[23], zmm[24]
	constant(0x9e3779b97f4a7c15, golden)
	constant(0xbf58476d1ce4e5b9, m1)
	constant(0x94d049bb133111eb, m2)
	constant(16, step)
	VPBROADCASTQ(must(Param("threshold")), threshold)
	VBROADCASTSS(must(Param("scale")), zmm[25])
	counters := []VecPhysical{zmm[0], zmm[1]}
	VPBROADCASTQ(must(Param("key")), zmm[2])
	index := zmm[3]
	lanes := AllocLocal(64)
	for i := range 8 {
		MOVQ(U64(uint64(i)), r)
		MOVQ(r, lanes.Offset(8*i))
	}
	VMOVDQU64(lanes, index)
	VPADDQ(index, zmm[2], counters[0])
	constant(8, zmm[2])
	VPADDQ(zmm[2], counters[0], counters[1])
	Label("loop")
	for i, c := range counters {
		x, t := zmm[4+2*i], zmm[5+2*i]
		VPADDQ(golden, c, x)
		VPADDQ(step, c, c)
		VPSRLQ(U8(30), x, t)
		VPXORQ(t, x, x)
		VPMULLQ(m1, x, x)
		VPSRLQ(U8(27), x, t)
		VPXORQ(t, x, x)
		VPMULLQ(m2, x, x)
		VPSRLQ(U8(31), x, t)
		VPXORQ(t, x, x)
		VPSRLQ(U8(11), x, x)
		VPCMPUQ(U8(5), threshold, x, []OpmaskPhysical{K1, K2}[i]) // not below
	}
	KUNPCKBW(K1, K2, K3)
	VMOVUPS_Z(Mem{Base: src}, K3, zmm[10])
	VMULPS(zmm[25], zmm[10], zmm[10])
	VMOVUPS(zmm[10], Mem{Base: dst})
	KMOVW(K3, Mem{Base: bits})
	ADDQ(U8(64), src)
	ADDQ(U8(64), dst)
	ADDQ(U8(2), bits)
	SUBQ(U8(16), n)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()

	TEXT("keep512", NOSPLIT, "func(dst, src *float32, bits *uint16, n int, scale float32)")
	Pragma("noescape")
	Doc("keep512 sets n elements of dst, a multiple of 16, to scale times src where the bit is set, else to zero.")
	dst, src = Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	bits, n = Load(Param("bits"), GP64()), Load(Param("n"), GP64())
	VBROADCASTSS(must(Param("scale")), zmm[1])
	Label("loop")
	KMOVW(Mem{Base: bits}, K1)
	VMOVUPS_Z(Mem{Base: src}, K1, zmm[0])
	VMULPS(zmm[1], zmm[0], zmm[0])
	VMOVUPS(zmm[0], Mem{Base: dst})
	ADDQ(U8(64), src)
	ADDQ(U8(64), dst)
	ADDQ(U8(2), bits)
	SUBQ(U8(16), n)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// gather512 copies patches to the rows of a matrix.
func gather512() {
	TEXT("gather512", NOSPLIT, "func(dst, src *float32, starts *int32, count int, spans *int, runs, n, patch int)")
	Pragma("noescape")
	Doc("gather512 copies, for each of count starts, n elements of src at start plus each span's first place to dst at its second; rows of dst are patch long.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	starts, patch := Load(Param("starts"), GP64()), Load(Param("patch"), GP64())
	whole, tail := Load(Param("n"), GP64()), GP64()
	MOVQ(whole, tail)
	ANDQ(U8(15), tail)
	tailMask(tail, K1)
	SHRQ(U8(4), whole) // vectors of 16
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
	MOVQ(whole, left)
	TESTQ(left, left)
	JZ(LabelRef("tail"))
	Label("one")
	VMOVUPS(Mem{Base: from}, zmm[0])
	VMOVUPS(zmm[0], Mem{Base: to})
	ADDQ(U8(64), from)
	ADDQ(U8(64), to)
	DECQ(left)
	JNZ(LabelRef("one"))
	TESTQ(tail, tail)
	JZ(LabelRef("next"))
	Label("tail")
	VMOVUPS_Z(Mem{Base: from}, K1, zmm[0])
	VMOVUPS(zmm[0], K1, Mem{Base: to})
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

// list512 finds the voxels that are not background.
func list512() {
	TEXT("list512", NOSPLIT, "func(at, colour *int32, row *uint8, width, start, step int, background uint8) int")
	Pragma("noescape")
	Doc("list512 writes start+x*step and the colour of each voxel x of a row that is not background; width is a multiple of 16. It writes whole vectors.")
	at, colour := Load(Param("at"), GP64()), Load(Param("colour"), GP64())
	row, width := Load(Param("row"), GP64()), Load(Param("width"), GP64())
	start, step := Load(Param("start"), GP64()), Load(Param("step"), GP64())
	place, colours, background, by := zmm[0], zmm[1], zmm[2], zmm[3]
	r, found, count := GP64(), GP64(), GP64()
	// The places of the first 16 voxels: start + (0..15)*step.
	lanes := AllocLocal(16)
	MOVQ(U64(0x0706050403020100), r)
	MOVQ(r, lanes)
	MOVQ(U64(0x0f0e0d0c0b0a0908), r)
	MOVQ(r, lanes.Offset(8))
	VPMOVZXBD(lanes, place)
	VPBROADCASTD(step.(GPVirtual).As32(), by)
	VPMULLD(by, place, place)
	VPBROADCASTD(start.(GPVirtual).As32(), colours)
	VPADDD(colours, place, place)
	VPSLLD(U8(4), by, by)
	MOVBLZX(must(Param("background")), r.As32())
	VPBROADCASTD(r.As32(), background)
	XORQ(count, count)
	Label("loop")
	VPMOVZXBD(Mem{Base: row}, colours)
	VPCMPD(U8(4), background, colours, K1)
	KMOVW(K1, found.As32())
	VPCOMPRESSD_Z(place, K1, zmm[4])
	VPCOMPRESSD_Z(colours, K1, zmm[5])
	VMOVDQU32(zmm[4], Mem{Base: at, Index: count, Scale: 4})
	VMOVDQU32(zmm[5], Mem{Base: colour, Index: count, Scale: 4})
	POPCNTL(found.As32(), found.As32())
	ADDQ(found, count)
	VPADDD(by, place, place)
	ADDQ(U8(16), row)
	SUBQ(U8(16), width)
	JG(LabelRef("loop"))
	Store(count, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
