package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// collectCube is collect for patches of 3 planes of 3 rows no longer than 16 elements; rows of sums are 16 long, so
// that no lane needs a mask.
func (l lanes) collectCube() {
	TEXT("collectCube"+l.suffix, NOSPLIT, "func(dst, src *float32, starts *int32, scales *float32, count, row, plane int)")
	Pragma("noescape")
	Doc("collectCube" + l.suffix + " adds the sum over i of scales[i] times 3 planes of 3 rows of 16 elements of src at starts[i] to dst [9,16].")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	starts, scales := Load(Param("starts"), GP64()), Load(Param("scales"), GP64())
	count, row, plane := Load(Param("count"), GP64()), Load(Param("row"), GP64()), Load(Param("plane"), GP64())
	SHLQ(U8(2), plane)
	// As many planes at once as there are registers for sums.
	perRow, planes := 64/l.bytes, 3
	if l.bytes < 64 {
		planes = 1
	}
	factor := l.vector(15)
	for first := 0; first < 3; first += planes {
		sums := func(r, v int) VecPhysical { return l.vector(r*perRow + v) }
		for r := range 3 * planes {
			for v := range perRow {
				VMOVUPS(Mem{Base: dst, Disp: 64*(3*first+r) + l.bytes*v}, sums(r, v))
			}
		}
		label := fmt.Sprintf("survivor%d", first)
		at, i := GP64(), GP64()
		XORQ(i, i)
		Label(label)
		MOVLQSX(Mem{Base: starts, Index: i, Scale: 4}, at)
		LEAQ(Mem{Base: src, Index: at, Scale: 4}, at)
		VBROADCASTSS(Mem{Base: scales, Index: i, Scale: 4}, factor)
		for r := range 3 * planes {
			if r > 0 && r%3 == 0 {
				ADDQ(plane, at)
			}
			for v := range perRow {
				m := Mem{Base: at, Disp: l.bytes * v}
				// The rows of a plane are row*4 bytes apart.
				if r%3 > 0 {
					m.Index, m.Scale = row, uint8(4*(r%3))
				}
				VFMADD231PS(m, factor, sums(r, v))
			}
		}
		INCQ(i)
		CMPQ(i, count)
		JLT(LabelRef(label))
		for r := range 3 * planes {
			for v := range perRow {
				VMOVUPS(sums(r, v), Mem{Base: dst, Disp: 64*(3*first+r) + l.bytes*v})
			}
		}
		if first+planes < 3 {
			ADDQ(plane, src)
		}
	}
	VZEROUPPER()
	RET()
}

func survive512() {
	TEXT("survive512", NOSPLIT,
		"func(count, at *int32, scale, sum, grad *float32, arg *uint8, starts *int32, windows, stride, n, size, length int, reach uint64)")
	Pragma("noescape")
	Doc("survive512 appends, for each of windows windows and n channels, n a multiple of 16, whose arg is below size and whose grad is not zero, starts[window,arg]",
		"and grad to the channel's list, whose count is in count and whose room is length; of the windows in reach only. It adds the gradients of all windows to sum.",
		"Windows are stride channels apart.")
	count, at, scale := Load(Param("count"), GP64()), Load(Param("at"), GP64()), Load(Param("scale"), GP64())
	sum, grad, arg := Load(Param("sum"), GP64()), Load(Param("grad"), GP64()), Load(Param("arg"), GP64())
	starts, reach := Load(Param("starts"), GP64()), Load(Param("reach"), GP64())
	n, stride := Load(Param("n"), GP64()), Load(Param("stride"), GP64())
	size, r, j := GP64(), GP64(), GP64()
	list, step, positions, zero := zmm[0], zmm[1], zmm[2], zmm[3]
	first, offsets, g, which, counts, one := zmm[4], zmm[5], zmm[6], zmm[7], zmm[9], zmm[10]
	// Where the lists of the first 16 channels begin: (0..15)*length.
	lanes := AllocLocal(16)
	MOVQ(U64(0x0706050403020100), r)
	MOVQ(r, lanes)
	MOVQ(U64(0x0f0e0d0c0b0a0908), r)
	MOVQ(r, lanes.Offset(8))
	VPMOVZXBD(lanes, first)
	Load(Param("length"), r)
	VPBROADCASTD(r.As32(), step)
	VPMULLD(step, first, first)
	VPSLLD(U8(4), step, step)
	Load(Param("size"), size)
	VPBROADCASTD(size.As32(), positions)
	MOVL(U32(1), r.As32())
	VPBROADCASTD(r.As32(), one)
	VPXORD(zero, zero, zero)
	// As many lanes as a window has positions: the lanes below size.
	VPMOVZXBD(lanes, which)
	VPCMPD(U8(1), positions, which, K1)
	Label("window")
	VMOVDQU32_Z(Mem{Base: starts}, K1, offsets)
	VMOVAPS(first, list)
	XORQ(j, j)
	Label("channels")
	VPMOVZXBD(Mem{Base: arg, Index: j, Scale: 1}, which)
	VMOVUPS(Mem{Base: grad, Index: j, Scale: 4}, g)
	VPCMPD(U8(1), positions, which, K2)
	VADDPS(Mem{Base: sum, Index: j, Scale: 4}, g, zmm[8])
	VMOVUPS(zmm[8], K2, Mem{Base: sum, Index: j, Scale: 4})
	BTQ(U8(0), reach)
	JCC(LabelRef("next"))
	VCMPPS(U8(4), zero, g, K2, K2) // not equal, or not a number
	VPERMD(offsets, which, which)
	VMOVDQU32(Mem{Base: count, Index: j, Scale: 4}, counts)
	VPADDD(counts, list, zmm[8])
	KMOVW(K2, K3)
	VPSCATTERDD(which, K3, Mem{Base: at, Index: zmm[8], Scale: 4})
	KMOVW(K2, K3)
	VSCATTERDPS(g, K3, Mem{Base: scale, Index: zmm[8], Scale: 4})
	VPADDD(one, counts, K2, counts)
	VMOVDQU32(counts, Mem{Base: count, Index: j, Scale: 4})
	VPADDD(step, list, list)
	Label("next")
	ADDQ(U8(16), j)
	CMPQ(j, n)
	JLT(LabelRef("channels"))
	LEAQ(Mem{Base: grad, Index: stride, Scale: 4}, grad)
	ADDQ(stride, arg)
	LEAQ(Mem{Base: starts, Index: size, Scale: 4}, starts)
	SHRQ(U8(1), reach)
	DECQ(must(Param("windows")))
	JNZ(LabelRef("window"))
	VZEROUPPER()
	RET()
}
