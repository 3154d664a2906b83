package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// What follows writes formulas on whole vectors as expressions: each function emits an instruction or two and
// returns a new register with the result, and avo finds the real registers. An operand is a register or a constant
// in memory.

// constants are the read-only vectors that were written so far, by their bits.
var constants = map[string]Mem{}

// bits returns a vector of one value, in memory. AVX-512 spreads a single element while it computes; AVX2 reads a
// whole vector.
func (l lanes) bits(v uint32) Mem {
	name := fmt.Sprintf("v%08x", v)
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		copies := 1
		if !l.masks {
			copies = l.bytes / 4
		}
		for i := range copies {
			DATA(4*i, U32(v))
		}
		constants[name] = m
	}
	return m
}

// k returns a vector of one number, in memory.
func (l lanes) k(v float64) Mem { return l.bits(math.Float32bits(float32(v))) }

func (l lanes) fresh() VecVirtual {
	if l.masks {
		return ZMM()
	}
	return YMM()
}

// register returns an operand in a register.
func (l lanes) register(a Op) VecVirtual {
	if m, ok := a.(Mem); ok {
		d := l.fresh()
		VBROADCASTSS(m, d)
		return d
	}
	return a.(VecVirtual)
}

func (l lanes) copied(a Op) VecVirtual {
	if _, ok := a.(Mem); ok {
		return l.register(a)
	}
	d := l.fresh()
	VMOVAPS(a, d)
	return d
}

type instruction = func(ops ...Op)

// binary emits d = a op b.
func (l lanes) binary(whole, spread instruction, a, b Op) VecVirtual {
	first, d := l.register(a), l.fresh()
	if _, ok := b.(Mem); ok && l.masks {
		spread(b, first, d)
	} else {
		whole(b, first, d)
	}
	return d
}

func (l lanes) add(a, b Op) VecVirtual { return l.binary(VADDPS, VADDPS_BCST, a, b) }
func (l lanes) sub(a, b Op) VecVirtual { return l.binary(VSUBPS, VSUBPS_BCST, a, b) }
func (l lanes) mul(a, b Op) VecVirtual { return l.binary(VMULPS, VMULPS_BCST, a, b) }
func (l lanes) div(a, b Op) VecVirtual { return l.binary(VDIVPS, VDIVPS_BCST, a, b) }
func (l lanes) and(a, b Op) VecVirtual { return l.binary(VANDPS, VANDPS_BCST, a, b) }
func (l lanes) or(a, b Op) VecVirtual  { return l.binary(VORPS, VORPS_BCST, a, b) }

// max and min give b where it is NaN.
func (l lanes) max(a, b Op) VecVirtual { return l.binary(VMAXPS, VMAXPS_BCST, a, b) }
func (l lanes) min(a, b Op) VecVirtual { return l.binary(VMINPS, VMINPS_BCST, a, b) }

// clamp keeps NaN.
func (l lanes) clamp(x, low, high Op) VecVirtual { return l.max(low, l.min(high, x)) }

func (l lanes) abs(a Op) VecVirtual { return l.and(a, l.bits(1<<31-1)) }

// signed gives a, which is not negative, the sign of s.
func (l lanes) signed(a, s Op) VecVirtual { return l.or(a, l.and(s, l.bits(1<<31))) }

func (l lanes) sqrt(a Op) VecVirtual {
	d := l.fresh()
	VSQRTPS(a, d)
	return d
}

// fma is a*b + c, rounded once.
func (l lanes) fma(a, b, c Op) VecVirtual { return l.ternary(VFMADD213PS, VFMADD213PS_BCST, a, b, c) }

// fms is a*b - c, rounded once.
func (l lanes) fms(a, b, c Op) VecVirtual { return l.ternary(VFMSUB213PS, VFMSUB213PS_BCST, a, b, c) }

// fnma is c - a*b, rounded once.
func (l lanes) fnma(a, b, c Op) VecVirtual {
	return l.ternary(VFNMADD213PS, VFNMADD213PS_BCST, a, b, c)
}

func (l lanes) ternary(whole, spread instruction, a, b, c Op) VecVirtual {
	second, d := l.register(b), l.copied(a)
	if _, ok := c.(Mem); ok && l.masks {
		spread(c, second, d)
	} else {
		whole(c, second, d)
	}
	return d
}

// polynomial is c[0] + c[1] x + c[2] x^2 ..., by Horner's scheme.
func (l lanes) polynomial(x Op, c ...float64) VecVirtual {
	p := l.register(l.k(c[len(c)-1]))
	for i := len(c) - 2; i >= 0; i-- {
		if l.masks {
			VFMADD213PS_BCST(l.k(c[i]), x, p)
		} else {
			VFMADD213PS(l.k(c[i]), x, p)
		}
	}
	return p
}

// Comparisons; NaN fails all but the last.
const (
	equal     = 0x00
	less      = 0x11
	greater   = 0x1e
	unordered = 0x03
)

// where gives yes where a compares to b, and else no.
func (l lanes) where(a Op, comparison uint8, b, yes, no Op) VecVirtual {
	first, y, n, d := l.register(a), l.register(yes), l.register(no), l.fresh()
	if l.masks {
		mask := K()
		if _, ok := b.(Mem); ok {
			VCMPPS_BCST(U8(comparison), b, first, mask)
		} else {
			VCMPPS(U8(comparison), b, first, mask)
		}
		VBLENDMPS(y, n, mask, d)
		return d
	}
	mask := l.fresh()
	VCMPPS(U8(comparison), b, first, mask)
	VBLENDVPS(mask, y, n, d)
	return d
}

// bySign gives below where x is below zero, and else above.
func (l lanes) bySign(x, below, above Op) VecVirtual { return l.where(x, less, l.k(0), below, above) }

// round is the nearest whole number.
func (l lanes) round(a Op) VecVirtual {
	d := l.fresh()
	if l.masks {
		VRNDSCALEPS(U8(0), a, d)
	} else {
		VROUNDPS(U8(0), a, d)
	}
	return d
}

// scale is a 2^n, for whole n of -254 to 254, rounded once and with subnormal results.
func (l lanes) scale(a, n Op) VecVirtual {
	if l.masks {
		a, d := l.register(a), l.fresh()
		VSCALEFPS(n, a, d)
		return d
	}
	// In two steps, as 2^n alone may be out of range. The first is exact.
	whole, half, rest := l.fresh(), l.fresh(), l.fresh()
	VCVTPS2DQ(n, whole)
	VPSRAD(U8(1), whole, half)
	VPSUBD(half, whole, rest)
	return l.mul(l.mul(a, l.power(half)), l.power(rest))
}

// power2 is 2^n, for whole n of -126 to 127.
func (l lanes) power2(n Op) VecVirtual {
	if l.masks {
		return l.scale(l.k(1), n)
	}
	whole := l.fresh()
	VCVTPS2DQ(n, whole)
	return l.power(whole)
}

// power is power2 of integers.
func (l lanes) power(n Op) VecVirtual {
	biased, d := l.fresh(), l.fresh()
	VPADDD(l.bits(127), n, biased)
	VPSLLD(U8(23), biased, d)
	return d
}

// logarithm2 splits x, positive and normal, into its exponent and its mantissa from 1 to below 2.
func (l lanes) logarithm2(x Op) (exponent, mantissa VecVirtual) {
	exponent, mantissa = l.fresh(), l.fresh()
	if l.masks {
		VGETEXPPS(x, exponent)
		VGETMANTPS(U8(0), x, mantissa)
		return exponent, mantissa
	}
	shifted, whole := l.fresh(), l.fresh()
	VPSRLD(U8(23), x, shifted)
	VPSUBD(l.bits(127), shifted, whole)
	VCVTDQ2PS(whole, exponent)
	return exponent, l.or(l.and(x, l.bits(1<<23-1)), l.k(1))
}
