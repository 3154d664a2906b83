package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// collect is the inner loop of the sparse weight gradient: the sums stay in registers for a whole list of places.
func (l lanes) collect() {
	TEXT("collect"+l.suffix, NOSPLIT, "func(dst, src *float32, starts *int32, scales *float32, count int, spans *int, runs, n int)")
	Pragma("noescape")
	Doc("collect" + l.suffix + " adds the sum over i of scales[i] times n elements of src at starts[i] plus each span's first place to dst at its second.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	starts, scales := Load(Param("starts"), GP64()), Load(Param("scales"), GP64())
	count, spans := Load(Param("count"), GP64()), Load(Param("spans"), GP64())
	whole := Load(Param("n"), GP64()).(GPVirtual)
	if l.masks {
		tail := GP64()
		MOVQ(whole, tail)
		ANDQ(U8(15), tail)
		tailMask(tail, K1)
	}
	shift := map[int]uint8{64: 4, 32: 3}[l.bytes]
	SHRQ(U8(shift), whole)
	from, to, left, i, at := GP64(), GP64(), GP64(), GP64(), GP64()
	scale := l.vector(15)
	// block adds to vectors sums at once.
	block := func(label string, vectors int, masked bool) {
		load, store := loadWhole, storeWhole
		if masked {
			load, store = l.load, l.store
		}
		for v := range vectors {
			load(Mem{Base: to, Disp: l.bytes * v}, l.vector(v))
		}
		XORQ(i, i)
		Label(label)
		MOVLQSX(Mem{Base: starts, Index: i, Scale: 4}, at)
		LEAQ(Mem{Base: from, Index: at, Scale: 4}, at)
		VBROADCASTSS(Mem{Base: scales, Index: i, Scale: 4}, scale)
		for v := range vectors {
			if masked {
				load(Mem{Base: at, Disp: l.bytes * v}, l.vector(14))
				VFMADD231PS(l.vector(14), scale, l.vector(v))
				continue
			}
			VFMADD231PS(Mem{Base: at, Disp: l.bytes * v}, scale, l.vector(v))
		}
		INCQ(i)
		CMPQ(i, count)
		JLT(LabelRef(label))
		for v := range vectors {
			store(Mem{Base: to, Disp: l.bytes * v}, l.vector(v))
		}
		ADDQ(U32(uint32(l.bytes*vectors)), from)
		ADDQ(U32(uint32(l.bytes*vectors)), to)
	}
	Label("span")
	MOVQ(Mem{Base: spans}, from)
	MOVQ(Mem{Base: spans, Disp: 8}, to)
	LEAQ(Mem{Base: src, Index: from, Scale: 4}, from)
	LEAQ(Mem{Base: dst, Index: to, Scale: 4}, to)
	MOVQ(whole, left)
	Label("blocks")
	CMPQ(left, U32(12))
	JLT(LabelRef("six"))
	block("twelve", 12, false)
	SUBQ(U8(12), left)
	JMP(LabelRef("blocks"))
	Label("six")
	CMPQ(left, U32(6))
	JLT(LabelRef("one"))
	block("sixes", 6, false)
	SUBQ(U8(6), left)
	Label("one")
	TESTQ(left, left)
	JZ(LabelRef("tail"))
	block("ones", 1, false)
	DECQ(left)
	JMP(LabelRef("one"))
	Label("tail")
	if l.masks {
		KTESTW(K1, K1)
		JZ(LabelRef("next"))
		block("tails", 1, true)
		Label("next")
	}
	ADDQ(U8(16), spans)
	DECQ(must(Param("runs")))
	JNZ(LabelRef("span"))
	VZEROUPPER()
	RET()
}

// collectThrees is collect where spans come in threes, are whole vectors and those in threes too, as kernels of
// width 3 over a multiple of 16 channels have them: nine sums hide the latency of their additions, where fewer
// would wait for it.
func (l lanes) collectThrees() {
	TEXT("collectThrees"+l.suffix, NOSPLIT, "func(dst, src *float32, starts *int32, scales *float32, count int, spans *int, runs, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("collectThrees%s is collect%s for a number of spans that is a multiple of 3 and an n that is one of %d.", l.suffix, l.suffix, 3*l.bytes/4))
	starts, scales := Load(Param("starts"), GP64()), Load(Param("scales"), GP64())
	spans := Load(Param("spans"), GP64())
	r, left, i, at := GP64(), GP64(), GP64(), GP64()
	from := []GPVirtual{GP64(), GP64(), GP64()}
	to := []GPVirtual{GP64(), GP64(), GP64()}
	sum := func(span, v int) VecPhysical { return l.vector(3*span + v) }
	scale := l.vector(15)
	Label("three")
	for k := range 3 {
		for j, pointer := range []GPVirtual{from[k], to[k]} {
			Load(Param([]string{"src", "dst"}[j]), r)
			MOVQ(Mem{Base: spans, Disp: 16*k + 8*j}, pointer)
			LEAQ(Mem{Base: r, Index: pointer, Scale: 4}, pointer)
		}
	}
	Load(Param("n"), left)
	Label("vectors")
	for k := range 3 {
		for v := range 3 {
			VMOVUPS(Mem{Base: to[k], Disp: l.bytes * v}, sum(k, v))
		}
	}
	XORQ(i, i)
	Label("places")
	MOVLQSX(Mem{Base: starts, Index: i, Scale: 4}, at)
	VBROADCASTSS(Mem{Base: scales, Index: i, Scale: 4}, scale)
	for k := range 3 {
		for v := range 3 {
			VFMADD231PS(Mem{Base: from[k], Index: at, Scale: 4, Disp: l.bytes * v}, scale, sum(k, v))
		}
	}
	INCQ(i)
	CMPQ(i, must(Param("count")))
	JLT(LabelRef("places"))
	for k := range 3 {
		for v := range 3 {
			VMOVUPS(sum(k, v), Mem{Base: to[k], Disp: l.bytes * v})
		}
		ADDQ(U32(uint32(3*l.bytes)), to[k])
		ADDQ(U32(uint32(3*l.bytes)), from[k])
	}
	SUBQ(U32(uint32(3*l.bytes/4)), left)
	JNZ(LabelRef("vectors"))
	ADDQ(U8(48), spans)
	SUBQ(U8(3), must(Param("runs")))
	JNZ(LabelRef("three"))
	VZEROUPPER()
	RET()
}
