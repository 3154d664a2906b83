package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// stream generates a copy that writes past the caches, and what makes such writes visible to other threads.
func (l lanes) stream() {
	TEXT("stream"+l.suffix, NOSPLIT, "func(dst, src *float32, vectors, rows, gap int)")
	Pragma("noescape")
	Doc("stream" + l.suffix + " copies some rows of some vectors, one at least, to dst past the caches; there they lie gap bytes apart, on multiples of a vector's length.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	vectors, rows, gap := GP64(), Load(Param("rows"), GP64()), Load(Param("gap"), GP64())
	move := func(label string, count int) {
		Label(label)
		for i := range count {
			VMOVUPS(Mem{Base: src, Disp: l.bytes * i}, l.vector(i))
		}
		for i := range count {
			VMOVNTPS(l.vector(i), Mem{Base: dst, Disp: l.bytes * i})
		}
		ADDQ(U32(uint32(l.bytes*count)), src)
		ADDQ(U32(uint32(l.bytes*count)), dst)
		SUBQ(U8(count), vectors)
	}
	Label("row")
	Load(Param("vectors"), vectors)
	SUBQ(U8(4), vectors)
	JL(LabelRef("few"))
	move("four", 4)
	JGE(LabelRef("four"))
	Label("few")
	ADDQ(U8(4), vectors)
	JZ(LabelRef("done"))
	move("one", 1)
	JNZ(LabelRef("one"))
	Label("done")
	ADDQ(gap, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

func fence() {
	TEXT("fence", NOSPLIT, "func()")
	Doc("fence waits for what stream wrote.")
	SFENCE()
	RET()
}
