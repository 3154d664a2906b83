package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lowPrecision generates the loops over words of 32 bits, which hold four integers of 8 bits or two bfloat16: tiles
// of products of both, and what makes words of floats and floats of sums.
func lowPrecision() {
	for rows := 1; rows <= 14; rows++ {
		tile512(fmt.Sprintf("int8Tile512x%d", rows), rows, func(a, b, sum VecPhysical) { evex(dotBytes, a, b, sum) }, func(x, y, sum VecPhysical) { VPADDD(x, y, sum) })
		tile512(fmt.Sprintf("bf16Tile512x%d", rows), rows, func(a, b, sum VecPhysical) { evex(dotBF16, a, b, sum) }, func(x, y, sum VecPhysical) { VADDPS(x, y, sum) })
	}
	for rows := 1; rows <= 4; rows++ {
		lowTile2("int8", rows, int8Low, int8High, func(a, b, sum, spare VecPhysical) {
			VPMADDWD(a, b, spare)
			VPADDD(spare, sum, sum)
		}, func(from Mem, sum VecPhysical) { VPADDD(from, sum, sum) })
		lowTile2("bf16", rows, bf16Low, bf16High, func(a, b, sum, _ VecPhysical) { VFMADD231PS(a, b, sum) }, func(from Mem, sum VecPhysical) { VADDPS(from, sum, sum) })
	}
	quantize512()
	quantize2()
	shorten512()
	shorten2()
	for _, l := range []lanes{lanes512, lanes2} {
		l.columns("dequantize", "sets dst [rows,n] to x*scale+shift, x holding integers.",
			[]string{"dst", "x"}, []string{"scale", "shift"},
			func(h half) {
				h.load("scale", h.reg(0))
				h.load("shift", h.reg(1))
			},
			func(h half) {
				h.load("x", h.reg(2))
				VCVTDQ2PS(h.reg(2), h.reg(2))
				VFMADD213PS(h.reg(1), h.reg(0), h.reg(2))
				h.store(h.reg(2), "dst")
			}, nil)
	}
}

// dot is an instruction that adds to each 32 bits of a register the products of what two others hold there. Neither
// avo nor, for bfloat16, the assembler knows them. Encodings: Intel 64 and IA-32 Architectures Software Developer's
// Manual, volume 2, EVEX.512 0F38 W0.
type dot struct {
	prefix, opcode byte
}

var (
	dotBytes = dot{prefix: 1, opcode: 0x50} // VPDPBUSD: unsigned bytes of a by signed bytes of b
	dotBF16  = dot{prefix: 2, opcode: 0x52} // VDPBF16PS
)

// evex emits d for a, b and sum in whole registers.
func evex(d dot, a, b, sum VecPhysical) {
	number := func(r VecPhysical) byte { return byte(ToPhysical(r).PhysicalIndex()) }
	inverted := func(r VecPhysical, bit int) byte { return ^number(r) >> bit & 1 }
	p0 := inverted(sum, 3)<<7 | inverted(b, 4)<<6 | inverted(b, 3)<<5 | inverted(sum, 4)<<4 | 2
	p1 := ^number(a)&15<<3 | 4 | d.prefix
	p2 := 2<<5 | inverted(a, 4)<<3
	words := []Op{U32(0x62) | U32(p0)<<8 | U32(p1)<<16 | U32(p2)<<24, U16(d.opcode) | U16(0xc0|number(sum)&7<<3|number(b)&7)<<8}
	for i, mnemonic := range []string{"LONG", "WORD"} {
		Instruction(&ir.Instruction{Opcode: mnemonic, Operands: words[i : i+1]})
	}
}

// lowTile2 generates a tile of rows by 16 columns for processors that cannot multiply words: low and high cut a
// word into two parts in place, which product multiplies.
func lowTile2(kind string, rows int, low, high func(x, to VecPhysical), product func(a, b, sum, spare VecPhysical), add func(from Mem, sum VecPhysical)) {
	sums := ymm[:2*rows]
	tile{
		name: fmt.Sprintf("%sTile2x%d", kind, rows), rows: rows, cols: 16, sums: sums,
		step: func(a []Mem, b Register) {
			for i := range 2 {
				VMOVDQU(Mem{Base: b, Disp: 32 * i}, ymm[8+2*i])
				high(ymm[8+2*i], ymm[9+2*i])
				low(ymm[8+2*i], ymm[8+2*i])
			}
			for i := range rows {
				VPBROADCASTD(a[i], Y12)
				if kind == "int8" { // of which a's are unsigned
					VPSRLW(U8(8), Y12, Y13)
					VPSLLW(U8(8), Y12, Y12)
					VPSRLW(U8(8), Y12, Y12)
				} else {
					high(Y12, Y13)
					low(Y12, Y12)
				}
				for j := range 2 {
					product(Y12, ymm[8+2*j], sums[2*i+j], Y14)
					product(Y13, ymm[9+2*j], sums[2*i+j], Y15)
				}
			}
		},
		store: func(i int, from, c Register) {
			for j, sum := range sums[2*i : 2*i+2] {
				add(Mem{Base: from, Disp: 32 * j}, sum)
				VMOVUPS(sum, Mem{Base: c, Disp: 32 * j})
			}
		},
	}.generate()
}

// The first and third of four signed bytes as integers of 16 bits, and the second and fourth.
func int8Low(x, to VecPhysical) {
	VPSLLW(U8(8), x, to)
	VPSRAW(U8(8), to, to)
}
func int8High(x, to VecPhysical) { VPSRAW(U8(8), x, to) }

// The first of two bfloat16 as a float, and the second.
func bf16Low(x, to VecPhysical) { VPSLLD(U8(16), x, to) }

func bf16High(x, to VecPhysical) {
	VPSRLD(U8(16), x, to)
	VPSLLD(U8(16), to, to)
}

// rounding generates a function that makes some numbers of smaller size, step at a time, after prepare, and
// advances by the bytes of what it writes.
func rounding(name, parameters, doc string, step, written int, prepare func(), each func(dst, src Register)) {
	TEXT(name, NOSPLIT, "func(dst, src *float32, n int"+parameters+")")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s %s n is a multiple of %d.", name, doc, step))
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	prepare()
	Label("loop")
	each(dst, src)
	ADDQ(U32(4*step), src)
	ADDQ(U32(written), dst)
	SUBQ(U32(step), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

const (
	quantizeParameters = ", scale, least, most float32, zero int32"
	quantizeDoc        = "sets n bytes of dst to src*scale, cut to least and most and rounded to even, plus zero, cut to 0 and 255; what is no number becomes least."
	shortenDoc         = "sets n bfloat16 of dst to src, rounded to even; what is no number stays that."
)

// quantizeFactors loads the parameters behind n into registers, zero's bits as those of a float.
func quantizeFactors(to ...VecPhysical) {
	for i, name := range []string{"scale", "least", "most", "zero"} {
		VBROADCASTSS(must(Param(name)), to[i])
	}
}

func quantize512() {
	rounding("quantize512", quantizeParameters, quantizeDoc, 16, 16, func() {
		quantizeFactors(Z1, Z2, Z3, Z4)
		zero(Z5)
	}, func(dst, src Register) {
		VMULPS(Mem{Base: src}, Z1, Z0)
		VMAXPS(Z2, Z0, Z0) // the second operand where one is no number
		VMINPS(Z3, Z0, Z0)
		VCVTPS2DQ(Z0, Z0)
		VPADDD(Z4, Z0, Z0)
		VPMAXSD(Z5, Z0, Z0)
		VPMOVUSDB(Z0, Mem{Base: dst})
	})
}

func quantize2() {
	rounding("quantize2", quantizeParameters, quantizeDoc, 32, 32, func() {
		quantizeFactors(Y5, Y6, Y7, Y8)
		order := GLOBL("quantizeOrder", RODATA|NOPTR) // packing works in halves of 128 bits
		for i, v := range []U32{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(4*i, v)
		}
		VMOVDQU(order, Y9)
	}, func(dst, src Register) {
		for i, y := range ymm[:4] {
			VMULPS(Mem{Base: src, Disp: 32 * i}, Y5, y)
			VMAXPS(Y6, y, y)
			VMINPS(Y7, y, y)
			VCVTPS2DQ(y, y)
			VPADDD(Y8, y, y)
		}
		VPACKSSDW(Y1, Y0, Y0)
		VPACKSSDW(Y3, Y2, Y2)
		VPACKUSWB(Y2, Y0, Y0)
		VPERMD(Y0, Y9, Y0)
		VMOVDQU(Y0, Mem{Base: dst})
	})
}

// The numbers that rounding to bfloat16 takes: one, half of what is cut off less one, and the bit that makes what
// is no number quiet.
var shortenConstants = []U32{1, 0x7fff, 1 << 22}

func shorten512() {
	one, half, quiet := Z3, Z4, Z5
	rounding("shorten512", "", shortenDoc, 16, 32, func() {
		for i, to := range []VecPhysical{one, half, quiet} {
			x := GP32()
			MOVL(shortenConstants[i], x)
			VPBROADCASTD(x, to)
		}
	}, func(dst, src Register) {
		VMOVUPS(Mem{Base: src}, Z0)
		VCMPPS(U8(3), Z0, Z0, K1)
		VPSRLD(U8(16), Z0, Z1)
		VPANDD(one, Z1, Z1)
		VPADDD(half, Z1, Z1)
		VPADDD(Z0, Z1, Z1)
		VPORD(quiet, Z0, K1, Z1)
		VPSRLD(U8(16), Z1, Z1)
		VPMOVDW(Z1, Mem{Base: dst})
	})
}

func shorten2() {
	one, half, quiet := Y6, Y7, Y8
	rounding("shorten2", "", shortenDoc, 16, 32, func() {
		for i, to := range []VecPhysical{one, half, quiet} {
			x := GP32()
			MOVL(shortenConstants[i], x)
			VMOVD(x, to.AsX())
			VPBROADCASTD(to.AsX(), to)
		}
	}, func(dst, src Register) {
		for i := range 2 {
			x, sum, no := ymm[i], ymm[2+i], ymm[4+i]
			VMOVUPS(Mem{Base: src, Disp: 32 * i}, x)
			VCMPPS(U8(3), x, x, no)
			VPSRLD(U8(16), x, sum)
			VPAND(one, sum, sum)
			VPADDD(half, sum, sum)
			VPADDD(x, sum, sum)
			VPOR(quiet, x, x)
			VBLENDVPS(no, x, sum, sum)
			VPSRLD(U8(16), sum, sum)
		}
		VPACKUSDW(Y3, Y2, Y2)
		VPERMQ(U8(0xd8), Y2, Y2)
		VMOVDQU(Y2, Mem{Base: dst})
	})
}
