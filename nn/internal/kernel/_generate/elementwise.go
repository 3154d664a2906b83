package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// expm1 returns p and n with exp(x) = (1+p) 2^n, n whole and |p| below .42. Range reduction: x = n log 2 + r with
// log 2 in two parts (Cody & Waite 1980); the polynomial is from minimax.py, its error 4e-9 of exp(r).
func (l lanes) expm1(x Op) (p, n VecVirtual) {
	high := float64(float32(math.Ln2))
	n = l.round(l.mul(x, l.k(math.Log2E)))
	r := l.fnma(n, l.k(math.Ln2-high), l.fnma(n, l.k(high), x))
	q := l.polynomial(r, 0.49999994, 0.166665211, 0.041668389, 0.00836871006, 0.00138146128)
	return l.fma(l.mul(r, r), q, r), n
}

// exp is e^x, from 0 to infinity.
func (l lanes) exp(x Op) VecVirtual {
	p, n := l.expm1(l.clamp(x, l.k(-104), l.k(89)))
	return l.scale(l.add(p, l.k(1)), n)
}

// expBelow is e^x for x up to zero.
func (l lanes) expBelow(x Op) VecVirtual {
	p, n := l.expm1(l.max(l.k(-104), x))
	return l.scale(l.add(p, l.k(1)), n)
}

// expm1Below is e^x - 1 for x up to zero.
func (l lanes) expm1Below(x Op) VecVirtual {
	p, n := l.expm1(l.max(l.k(-87), x)) // e^-87 is nothing beside 1
	s := l.power2(n)
	return l.fma(p, s, l.sub(s, l.k(1)))
}

// log1p is log(1+z) for z of 0 to 1; the polynomial is from minimax.py, its error 6e-9 of the result.
func (l lanes) log1p(z Op) VecVirtual {
	q := l.polynomial(z, -0.499999911, 0.333328128, -0.249902084, 0.199087054, -0.161700696, 0.125607744, -0.0844064504, 0.0431269705, -0.01417688, 0.0021833065)
	return l.fma(l.mul(z, z), q, z)
}

// log is the logarithm of x from 1 on.
func (l lanes) log(x Op) VecVirtual {
	exponent, mantissa := l.logarithm2(x)
	log := l.fma(exponent, l.k(math.Ln2), l.log1p(l.sub(mantissa, l.k(1))))
	return l.fma(x, l.k(0), log) // NaN stays
}

// logistic returns 1/(1+e^-|x|) and 1/(1+e^|x|), which is 1 less the first, without cancellation.
func (l lanes) logistic(x Op) (most, least VecVirtual) {
	z := l.expBelow(l.negative(x))
	most = l.div(l.k(1), l.add(z, l.k(1)))
	return most, l.mul(most, z)
}

// sigmoid is 1/(1+e^-x), and that of -x where reflected.
func (l lanes) sigmoid(x Op, reflected bool) VecVirtual {
	most, least := l.logistic(x)
	if reflected {
		return l.bySign(x, most, least)
	}
	return l.bySign(x, least, most)
}

// negative is -|x|.
func (l lanes) negative(x Op) VecVirtual { return l.or(x, l.bits(1<<31)) }

// tanh is -e/(2+e) with e = e^-2|x| - 1, and the sign of x.
func (l lanes) tanh(x Op) VecVirtual {
	e := l.expm1Below(l.mul(l.negative(x), l.k(2)))
	return l.signed(l.abs(l.div(e, l.add(e, l.k(2)))), x)
}

// softplus is log(1+e^x); of -x where reflected.
func (l lanes) softplus(x Op) VecVirtual {
	return l.add(l.max(l.k(0), x), l.log1p(l.expBelow(l.negative(x))))
}

// normal returns the standard normal distribution's function at x, and what its density is 1/sqrt(2 pi) times of.
// The tail beyond |x| is the density times a smooth function of it, in which k = 1/(1+|x|/4) is put for the
// argument, as Abramowitz & Stegun 26.2.17 do; the polynomial is from minimax.py, its error 3e-8 of the tail.
func (l lanes) normal(x Op) (distribution, e VecVirtual) {
	a := l.min(l.k(14.5), l.abs(x)) // beyond it the tail is zero
	square := l.mul(a, a)
	missing := l.fms(a, a, square) // what the square was rounded by
	e = l.expBelow(l.mul(square, l.k(-.5)))
	e = l.fnma(l.mul(e, l.k(.5)), missing, e)
	k := l.div(l.k(1), l.fma(a, l.k(.25), l.k(1)))
	q := l.polynomial(k, 0.0997463316, 0.0995214581, 0.095287852, 0.0730128214, 0.0838511586, 0.0177348573, 0.0226107035, 0.0558796413, -0.0645372495, 0.016892422)
	tail := l.mul(e, l.mul(k, q))
	return l.bySign(x, tail, l.sub(l.k(1), tail)), e
}

// mish returns, for t = tanh(log(1+e^x)), t and x's derivative of it: with z = e^-|x|, t is n/d of polynomials in
// z, and 1-t^2 is d^2-n^2 over d^2.
func (l lanes) mish(x Op) (t VecVirtual, slope func() VecVirtual) {
	z := l.expBelow(l.negative(x))
	square := l.mul(z, z)
	least := l.fma(z, l.k(2), square) // z^2 + 2z, for x below zero
	most := l.fma(z, l.k(2), l.k(1))  // 1 + 2z
	d1 := l.add(least, l.k(2))        // n + 2
	d2 := l.fma(square, l.k(2), most) // n + 2z^2
	n := l.bySign(x, least, most)
	d := l.bySign(x, d1, d2)
	over := l.div(l.k(1), d)
	return l.mul(n, over), func() VecVirtual {
		top := l.mul(l.mul(l.add(z, l.k(1)), l.k(4)), l.bySign(x, z, square))
		return l.mul(l.mul(top, over), over)
	}
}

// root is sqrt(x^2+4); from a billion on it is |x|, whose square may be out of range.
func (l lanes) root(x Op) VecVirtual {
	a := l.abs(x)
	return l.where(a, greater, l.k(1e9), a, l.sqrt(l.fma(x, x, l.k(4))))
}

// ramp is (x + shift) scale between 0 and 1.
func (l lanes) ramp(x Op, scale, shift float64) VecVirtual {
	return l.clamp(l.fma(x, l.k(scale), l.k(shift)), l.k(0), l.k(1))
}

// inside is yes where x is between low and high, and else no.
func (l lanes) inside(x, low, high, yes, no Op) VecVirtual {
	return l.where(x, greater, low, l.where(x, less, high, yes, no), no)
}

const (
	seluAlpha = 1.6732632423543772848170429916717
	seluScale = 1.0507009873554804934193349852946
)

// function is an activation: y of x, and the slope, dy/dx, of x or y or both. Numbers is how many parameters p it has.
type function struct {
	name    string
	numbers int
	y       func(l lanes, x Op, p []VecVirtual) VecVirtual
	reads   []string // what slope reads, of x and y
	slope   func(l lanes, x, y Op, p []VecVirtual) VecVirtual
}

var (
	ofX  = []string{"x"}
	ofY  = []string{"y"}
	ofXY = []string{"x", "y"}
)

// functions has the formulas of package op, in forms that do not cancel in float32.
var functions = []function{
	{"elu", 1, func(l lanes, x Op, p []VecVirtual) VecVirtual {
		return l.bySign(x, l.mul(p[0], l.expm1Below(x)), x)
	}, ofXY, func(l lanes, x, y Op, p []VecVirtual) VecVirtual {
		return l.where(x, greater, l.k(0), l.k(1), l.add(y, p[0]))
	}},
	{"selu", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.bySign(x, l.mul(l.expm1Below(x), l.k(seluAlpha*seluScale)), l.mul(x, l.k(seluScale)))
	}, ofXY, func(l lanes, x, y Op, _ []VecVirtual) VecVirtual {
		return l.where(x, greater, l.k(0), l.k(seluScale), l.add(y, l.k(seluAlpha*seluScale)))
	}},
	{"celu", 1, func(l lanes, x Op, p []VecVirtual) VecVirtual {
		return l.bySign(x, l.mul(p[0], l.expm1Below(l.div(x, p[0]))), x)
	}, ofX, func(l lanes, x, _ Op, p []VecVirtual) VecVirtual {
		return l.exp(l.div(l.min(l.k(0), x), p[0]))
	}},
	{"sigmoid", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.sigmoid(x, false)
	}, ofY, func(l lanes, _, y Op, _ []VecVirtual) VecVirtual { return l.mul(y, l.sub(l.k(1), y)) }},
	{
		"tanh", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual { return l.tanh(x) },
		ofY, func(l lanes, _, y Op, _ []VecVirtual) VecVirtual { return l.fnma(y, y, l.k(1)) },
	},
	{
		"softplus", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual { return l.softplus(x) },
		ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual { return l.sigmoid(x, false) },
	},
	{
		"logSigmoid", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
			return l.sub(l.min(l.k(0), x), l.log1p(l.expBelow(l.negative(x))))
		},
		ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual { return l.sigmoid(x, true) },
	},
	{"silu", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.mul(l.sigmoid(x, false), x)
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		most, least := l.logistic(x)
		return l.fma(l.mul(x, most), least, l.bySign(x, least, most))
	}},
	{"gelu", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		d, _ := l.normal(x)
		return l.mul(d, x)
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		distribution, e := l.normal(x)
		return l.fma(l.mul(x, e), l.k(1/math.Sqrt(2*math.Pi)), distribution)
	}},
	{
		"exponential", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual { return l.exp(x) },
		ofY, func(l lanes, _, y Op, _ []VecVirtual) VecVirtual { return l.register(y) },
	},
	{"mish", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		t, _ := l.mish(x)
		return l.mul(t, x)
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		t, slope := l.mish(x)
		return l.fma(x, slope(), t)
	}},
	{"tanhShrink", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.sub(x, l.tanh(x))
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		t := l.tanh(x)
		return l.mul(t, t)
	}},
	{"softsign", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.div(x, l.add(l.abs(x), l.k(1)))
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		r := l.div(l.k(1), l.add(l.abs(x), l.k(1)))
		return l.mul(r, r)
	}},
	{"squareplus", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		mean := l.fma(l.abs(x), l.k(.5), l.mul(l.root(x), l.k(.5)))
		return l.bySign(x, l.div(l.k(1), mean), mean)
	}, ofXY, func(l lanes, x, y Op, _ []VecVirtual) VecVirtual { return l.div(y, l.root(x)) }},
	{"hardSigmoid", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.ramp(x, 1./6, .5)
	}, ofY, func(l lanes, _, y Op, _ []VecVirtual) VecVirtual {
		return l.inside(y, l.k(0), l.k(1), l.k(1./6), l.k(0))
	}},
	{"hardSilu", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.mul(l.ramp(x, 1./6, .5), x)
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		h := l.ramp(x, 1./6, .5)
		return l.inside(h, l.k(0), l.k(1), l.fma(x, l.k(1./6), h), h)
	}},
	{"hardTanh", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.clamp(x, l.k(-1), l.k(1))
	}, ofY, func(l lanes, _, y Op, _ []VecVirtual) VecVirtual {
		return l.inside(y, l.k(-1), l.k(1), l.k(1), l.k(0))
	}},
	{"sparseSigmoid", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.ramp(x, .5, .5)
	}, ofY, func(l lanes, _, y Op, _ []VecVirtual) VecVirtual {
		return l.inside(y, l.k(0), l.k(1), l.k(.5), l.k(0))
	}},
	{"sparsePlus", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		h := l.max(l.k(0), l.fma(x, l.k(.5), l.k(.5)))
		return l.where(x, less, l.k(1), l.mul(h, h), x)
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual { return l.ramp(x, .5, .5) }},
	{"softShrink", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.sub(x, l.clamp(x, l.k(-.5), l.k(.5)))
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		return l.inside(x, l.k(-.5), l.k(.5), l.k(0), l.k(1))
	}},
	{"hardShrink", 0, func(l lanes, x Op, _ []VecVirtual) VecVirtual {
		return l.inside(x, l.k(-.5), l.k(.5), l.k(0), x)
	}, ofX, func(l lanes, x, _ Op, _ []VecVirtual) VecVirtual {
		return l.inside(x, l.k(-.5), l.k(.5), l.k(0), l.k(1))
	}},
	{"boundedRelu", 3, func(l lanes, x Op, p []VecVirtual) VecVirtual {
		return l.where(x, less, p[2], l.mul(p[0], l.sub(x, p[2])), l.min(p[1], x))
	}, ofX, func(l lanes, x, _ Op, p []VecVirtual) VecVirtual {
		return l.where(x, less, p[2], p[0], l.where(x, greater, p[1], l.k(0), l.k(1)))
	}},
}

// elementwise generates the functions and their gradients.
func (l lanes) elementwise() {
	for _, f := range functions {
		l.elements(f.name, "sets y to the activation of x.", []string{"y", "x"}, []string{"x"}, f.numbers, func(in map[string]VecVirtual, p []VecVirtual) []VecVirtual {
			return []VecVirtual{f.y(l, in["x"], p)}
		})
		l.elements(f.name+"Grad", "sets dx to dy times the slope.", []string{"dx", "dy", "x", "y"}, append([]string{"dy"}, f.reads...), f.numbers,
			func(in map[string]VecVirtual, p []VecVirtual) []VecVirtual {
				return []VecVirtual{l.mul(f.slope(l, in["x"], in["y"], p), in["dy"])}
			})
	}
}

// prelu generates the rectifier with a slope for each element.
func (l lanes) prelu() {
	type vectors = map[string]VecVirtual
	l.elements("prelu", "sets y to x, and where that is below zero to slope times x.", []string{"y", "x", "slope"}, []string{"x", "slope"}, 0, func(in vectors, _ []VecVirtual) []VecVirtual {
		return []VecVirtual{l.where(in["x"], less, l.k(0), l.mul(in["x"], in["slope"]), in["x"])}
	})
	arrays := []string{"dx", "dslope", "dy", "x", "slope"}
	l.elements("preluGrad", "sets dx to the gradient of x and adds that of slope to dslope.", arrays, arrays[1:], 0, func(in vectors, _ []VecVirtual) []VecVirtual {
		below := func(yes, no Op) VecVirtual { return l.where(in["x"], less, l.k(0), yes, no) }
		return []VecVirtual{below(l.mul(in["dy"], in["slope"]), in["dy"]), below(l.fma(in["dy"], in["x"], in["dslope"]), in["dslope"])}
	})
}

// elements generates a function over n elements, n at least 1, of some arrays, of which it reads some and writes
// the first ones, as many as body returns. What is left of a vector at the end goes through the same instructions,
// so that the result for an element does not depend on where it stands.
func (l lanes) elements(name, doc string, arrays, reads []string, numbers int, body func(in map[string]VecVirtual, p []VecVirtual) []VecVirtual) {
	sig := "func(n int"
	for _, a := range arrays {
		sig += ", " + a
	}
	TEXT(name+l.suffix, NOSPLIT, sig+", p *float32)")
	Pragma("noescape")
	Doc(name + l.suffix + " " + doc)
	n, at := Load(Param("n"), GP64()).(GPVirtual), GP64()
	in, places := map[string]VecVirtual{}, map[string]Mem{}
	place := func(array string) Mem {
		m, ok := places[array]
		if !ok {
			m = Mem{Base: Load(Param(array), GP64()), Index: at, Scale: 4}
			places[array] = m
		}
		return m
	}
	for _, a := range reads {
		place(a)
		in[a] = l.fresh()
	}
	place(arrays[0])
	p := make([]VecVirtual, numbers)
	if numbers > 0 {
		from := Load(Param("p"), GP64())
		for i := range p {
			p[i] = l.register(Mem{Base: from, Disp: 4 * i})
		}
	}
	XORQ(at, at)
	Label("loop")
	l.cut(n, "read", func() {
		for _, a := range reads {
			VMOVUPS(place(a), in[a])
		}
	}, func(part func(m Mem, v VecVirtual, fill Op)) {
		for _, a := range reads {
			part(place(a), in[a], l.k(0))
		}
	})
	out := body(in, p)
	l.cut(n, "write", func() {
		for i, v := range out {
			VMOVUPS(v, place(arrays[i]))
		}
	}, func(part func(m Mem, v VecVirtual, fill Op)) {
		for i, v := range out {
			part(place(arrays[i]), v, nil)
		}
	})
	ADDQ(U8(l.bytes/4), at)
	SUBQ(U8(l.bytes/4), n)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// cut emits whole for n of a vector's length or more, and partial for less, where part loads the first n elements,
// and fill for the others, or without fill stores the first n.
func (l lanes) cut(n GPVirtual, label string, whole func(), partial func(part func(m Mem, v VecVirtual, fill Op))) {
	CMPQ(n, U32(uint32(l.bytes/4)))
	JLT(LabelRef(label + "_part"))
	whole()
	JMP(LabelRef(label + "_done"))
	Label(label + "_part")
	if l.masks {
		bits, mask := GP32(), K()
		MOVL(U32(0xffff), bits)
		BZHIL(n.As32(), bits, bits)
		KMOVW(bits, mask)
		partial(func(m Mem, v VecVirtual, fill Op) {
			if fill == nil {
				VMOVUPS(v, mask, m)
				return
			}
			assign(v, l.register(fill))
			VMOVUPS(m, mask, v)
		})
	} else {
		mask := l.firsts(n)
		partial(func(m Mem, v VecVirtual, fill Op) {
			if fill == nil {
				VMASKMOVPS(v, mask, m)
				return
			}
			some := l.fresh()
			VMASKMOVPS(m, mask, some)
			VBLENDVPS(mask, some, l.register(fill), v)
		})
	}
	Label(label + "_done")
}

// firsts returns a vector whose first n elements are all ones and whose others are zero, n at most 8.
func (l lanes) firsts(n GPVirtual) VecVirtual {
	const name = "firsts"
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(map[bool]uint32{true: 0xffffffff}[i < 8]))
		}
		constants[name] = m
	}
	at, table, mask := GP64(), GP64(), YMM()
	LEAQ(m.Offset(32), table)
	MOVQ(n, at)
	NEGQ(at)
	VMOVUPS(Mem{Base: table, Index: at, Scale: 4}, mask)
	return mask
}

// average generates the sum over the positions of a window.
func (l lanes) average() {
	TEXT("average"+l.suffix, NOSPLIT, "func(dst, src *float32, places *int, size, n int, scale float32)")
	Pragma("noescape")
	Doc("average" + l.suffix + " sets dst to scale times the sum over size places of src, for each of n channels; without masks n is a multiple of 8.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	places, size := Load(Param("places"), GP64()), Load(Param("size"), GP64())
	n, at, i := Load(Param("n"), GP64()).(GPVirtual), GP64(), GP64()
	sum, x, scale := l.vector(0), l.vector(1), l.vector(2)
	VBROADCASTSS(must(Param("scale")), scale)
	l.channels(n, []Register{dst, src}, func() {
		zero(sum)
		XORQ(i, i)
		Label("position")
		MOVQ(Mem{Base: places, Index: i, Scale: 8}, at)
		l.load(Mem{Base: src, Index: at, Scale: 4}, x)
		VADDPS(x, sum, sum)
		INCQ(i)
		CMPQ(i, size)
		JLT(LabelRef("position"))
		VMULPS(scale, sum, sum)
		l.store(Mem{Base: dst}, sum)
	})
}
