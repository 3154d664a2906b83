package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// rows is the state of a function over rows of c elements each.
type rows struct {
	lanes
	c, at    GPVirtual
	pointers map[string]Register // at the current row
	left     GPVirtual           // elements of the row from at on, in a sweep
	label    int
}

// rows generates a function over at least one row of some arrays [rows,c], with vectors [c] and numbers p: each
// emits what is done with a row. What short emits, unless it is nil, is for c of at most a vector's length, so that
// a row stays in a register.
func (l lanes) rows(name, doc string, arrays, vectors []string, short, each func(r *rows)) {
	sig := "func(rows, c int"
	for _, a := range append(append([]string{}, arrays...), vectors...) {
		sig += ", " + a
	}
	TEXT(name+l.suffix, NOSPLIT, sig+" *float32)")
	Pragma("noescape")
	Doc(name + l.suffix + " " + doc)
	r := &rows{lanes: l, pointers: map[string]Register{}, at: GP64()}
	count := Load(Param("rows"), GP64())
	r.c = Load(Param("c"), GP64()).(GPVirtual)
	for _, a := range append(append([]string{}, arrays...), vectors...) {
		r.pointers[a] = Load(Param(a), GP64())
	}
	loop := func(label string, body func(r *rows)) {
		Label(label)
		body(r)
		for _, a := range arrays {
			LEAQ(Mem{Base: r.pointers[a], Index: r.c, Scale: 4}, r.pointers[a])
		}
		DECQ(count)
		JNZ(LabelRef(label))
		VZEROUPPER()
		RET()
	}
	if short != nil {
		CMPQ(r.c, U32(uint32(l.bytes/4)))
		JLE(LabelRef("short"))
	}
	loop("long", each)
	if short != nil {
		Label("short")
		XORQ(r.at, r.at)
		loop("row", short)
	}
}

// number returns the i-th number of p.
func (r *rows) number(i int) VecVirtual { return r.register(Mem{Base: r.pointers["p"], Disp: 4 * i}) }

func (r *rows) place(array string) Mem {
	return Mem{Base: r.pointers[array], Index: r.at, Scale: 4}
}

// name returns a new label.
func (r *rows) name() string {
	r.label++
	return "at" + string(rune('a'+r.label-1))
}

// read loads the next elements of some arrays, left in number, and fill for what is missing of a vector.
func (r *rows) read(left GPVirtual, fill Op, arrays ...string) []VecVirtual {
	in := make([]VecVirtual, len(arrays))
	for i := range in {
		in[i] = r.fresh()
	}
	r.cut(left, r.name(), func() {
		for i, a := range arrays {
			VMOVUPS(r.place(a), in[i])
		}
	}, func(part func(m Mem, v VecVirtual, fill Op)) {
		for i, a := range arrays {
			part(r.place(a), in[i], fill)
		}
	})
	return in
}

// write stores the next elements of an array, left in number.
func (r *rows) write(left GPVirtual, v VecVirtual, array string) {
	r.cut(left, r.name(), func() { VMOVUPS(v, r.place(array)) }, func(part func(m Mem, v VecVirtual, fill Op)) { part(r.place(array), v, nil) })
}

// sweep emits a loop over the elements of a row; body gets those of the arrays and returns what is written to an
// array, unless that is "".
func (r *rows) sweep(to string, fill Op, arrays []string, body func(in []VecVirtual) VecVirtual) {
	left, loop := GP64(), r.name()
	r.left = left
	MOVQ(r.c, left)
	XORQ(r.at, r.at)
	Label(loop)
	v := body(r.read(left, fill, arrays...))
	if to != "" {
		r.write(left, v, to)
	}
	ADDQ(U8(r.bytes/4), r.at)
	SUBQ(U8(r.bytes/4), left)
	JG(LabelRef(loop))
}

// accumulator returns a register with a value that a sweep may change.
func (l lanes) accumulator(start float64) VecVirtual { return l.register(l.k(start)) }

// assign sets a register.
func assign(to, from VecVirtual) { VMOVAPS(from, to) }

// fold combines all elements of v, and has the result in each: halves, then halves of halves.
func (l lanes) fold(v VecVirtual, combine func(a, b Op) VecVirtual) VecVirtual {
	half := func(move func(from, to VecVirtual)) {
		t := l.fresh()
		move(v, t)
		v = combine(v, t)
	}
	if l.masks {
		half(func(from, to VecVirtual) { VSHUFF32X4(U8(0x4e), from, from, to) })
		half(func(from, to VecVirtual) { VSHUFF32X4(U8(0xb1), from, from, to) })
	} else {
		half(func(from, to VecVirtual) { VPERM2F128(U8(1), from, from, to) })
	}
	half(func(from, to VecVirtual) { VPERMILPS(U8(0x4e), from, to) })
	half(func(from, to VecVirtual) { VPERMILPS(U8(0xb1), from, to) })
	return v
}

// total returns the sum of a term over a row, whose arrays are taken for zero beyond it.
func (r *rows) total(term func(in []VecVirtual) VecVirtual, arrays ...string) VecVirtual {
	sum := r.accumulator(0)
	r.sweep("", r.k(0), arrays, func(in []VecVirtual) VecVirtual {
		assign(sum, r.add(sum, term(in)))
		return nil
	})
	return r.fold(sum, r.add)
}

// softmax generates softmax and its logarithm with their gradients. What is missing of a vector is taken for minus
// infinity, whose exponential is zero.
func (l lanes) softmax() {
	lowest := l.k(math.Inf(-1))
	top := func(r *rows) VecVirtual {
		most := l.accumulator(math.Inf(-1))
		r.sweep("", lowest, []string{"x"}, func(in []VecVirtual) VecVirtual {
			assign(most, l.max(most, in[0]))
			return nil
		})
		return l.fold(most, l.max)
	}
	// exponentials returns the sum of e^(x-top) and writes them to an array, unless that is "".
	exponentials := func(r *rows, top VecVirtual, to string) VecVirtual {
		sum := l.accumulator(0)
		r.sweep(to, lowest, []string{"x"}, func(in []VecVirtual) VecVirtual {
			e := l.expBelow(l.sub(in[0], top))
			assign(sum, l.add(sum, e))
			return e
		})
		return l.fold(sum, l.add)
	}
	l.rows("softmax", "sets y to the softmax of each row of x.", []string{"y", "x"}, nil, func(r *rows) {
		x := r.read(r.c, lowest, "x")[0]
		e := l.expBelow(l.sub(x, l.fold(x, l.max)))
		r.write(r.c, l.div(e, l.fold(e, l.add)), "y")
	}, func(r *rows) {
		sum := exponentials(r, top(r), "y")
		over := l.div(l.k(1), sum)
		r.sweep("y", l.k(0), []string{"y"}, func(in []VecVirtual) VecVirtual { return l.mul(in[0], over) })
	})
	l.rows("logSoftmax", "sets y to the logarithm of the softmax of each row of x.", []string{"y", "x"}, nil, func(r *rows) {
		x := r.read(r.c, lowest, "x")[0]
		x = l.sub(x, l.fold(x, l.max))
		r.write(r.c, l.sub(x, l.log(l.fold(l.expBelow(x), l.add))), "y")
	}, func(r *rows) {
		most := top(r)
		log := l.log(exponentials(r, most, ""))
		r.sweep("y", l.k(0), []string{"x"}, func(in []VecVirtual) VecVirtual { return l.sub(l.sub(in[0], most), log) })
	})
	// Where one class has nearly all, dy less the mean of dy would cancel there: so the dy of the likeliest is
	// taken from all first, which changes no difference.
	likeliest := func(most, at VecVirtual) VecVirtual {
		return l.fold(l.where(most, equal, l.fold(most, l.max), at, lowest), l.max)
	}
	l.rows("softmaxGrad", "sets dx to the gradient of softmax, whose output is y.", []string{"dx", "dy", "y"}, nil, func(r *rows) {
		in := r.read(r.c, l.k(0), "dy", "y")
		d := l.sub(in[0], likeliest(in[1], in[0]))
		r.write(r.c, l.mul(in[1], l.sub(d, l.fold(l.mul(in[1], d), l.add))), "dx")
	}, func(r *rows) {
		most, at := l.accumulator(-1), l.accumulator(0)
		r.sweep("", l.k(0), []string{"dy", "y"}, func(in []VecVirtual) VecVirtual {
			assign(at, l.where(in[1], greater, most, in[0], at))
			assign(most, l.max(most, in[1]))
			return nil
		})
		base := likeliest(most, at)
		dot := r.total(func(in []VecVirtual) VecVirtual { return l.mul(in[1], l.sub(in[0], base)) }, "dy", "y")
		r.sweep("dx", l.k(0), []string{"dy", "y"}, func(in []VecVirtual) VecVirtual { return l.mul(in[1], l.sub(l.sub(in[0], base), dot)) })
	})
	l.rows("logSoftmaxGrad", "sets dx to the gradient of logSoftmax, whose output is y.", []string{"dx", "dy", "y"}, nil, func(r *rows) {
		in := r.read(r.c, l.k(0), "dy", "y")
		r.write(r.c, l.fnma(l.expBelow(in[1]), l.fold(in[0], l.add), in[0]), "dx")
	}, func(r *rows) {
		sum := r.total(func(in []VecVirtual) VecVirtual { return in[0] }, "dy")
		r.sweep("dx", l.k(0), []string{"dy", "y"}, func(in []VecVirtual) VecVirtual { return l.fnma(l.expBelow(in[1]), sum, in[0]) })
	})
}

// moments returns what normalizes a row x: its mean in two parts, as the first is rounded, and
// 1/sqrt(variance+epsilon). Numbers are 1/c and epsilon.
func (r *rows) moments() (mean, rest, inv VecVirtual) {
	mean = r.mul(r.total(func(in []VecVirtual) VecVirtual { return in[0] }, "x"), r.number(0))
	sum, squares := r.accumulator(0), r.accumulator(0)
	// Beyond the row x is taken for the mean, so that it adds nothing.
	r.sweep("", mean, []string{"x"}, func(in []VecVirtual) VecVirtual {
		d := r.sub(in[0], mean)
		assign(sum, r.add(sum, d))
		assign(squares, r.fma(d, d, squares))
		return nil
	})
	rest = r.mul(r.fold(sum, r.add), r.number(0))
	variance := r.fnma(rest, rest, r.mul(r.fold(squares, r.add), r.number(0)))
	return mean, rest, r.div(r.k(1), r.sqrt(r.add(variance, r.number(1))))
}

// layerNorm generates layer normalization.
func (l lanes) layerNorm() {
	normalized := func(x Op, mean, rest, inv VecVirtual) VecVirtual {
		return l.mul(l.sub(l.sub(x, mean), rest), inv)
	}
	l.rows("layerNorm", "sets y to the normalized rows of x.", []string{"y", "x"}, []string{"gamma", "beta", "p"}, nil, func(r *rows) {
		mean, rest, inv := r.moments()
		r.sweep("y", l.k(0), []string{"x", "gamma", "beta"}, func(in []VecVirtual) VecVirtual {
			return l.fma(normalized(in[0], mean, rest, inv), in[1], in[2])
		})
	})
	l.rows("layerNormGrad", "sets dx to the gradient of layerNorm and adds to those of gamma and beta.",
		[]string{"dx", "x", "dy"}, []string{"dgamma", "dbeta", "gamma", "p"}, nil, func(r *rows) {
			mean, rest, inv := r.moments()
			sum, dot := l.accumulator(0), l.accumulator(0)
			r.sweep("", l.k(0), []string{"x", "dy", "gamma", "dgamma", "dbeta"}, func(in []VecVirtual) VecVirtual {
				h, dy := normalized(in[0], mean, rest, inv), in[1]
				r.write(r.left, l.fma(dy, h, in[3]), "dgamma")
				r.write(r.left, l.add(in[4], dy), "dbeta")
				g := l.mul(dy, in[2])
				assign(sum, l.add(sum, g))
				assign(dot, l.fma(g, h, dot))
				return nil
			})
			a, b := l.mul(l.fold(sum, l.add), r.number(0)), l.mul(l.fold(dot, l.add), r.number(0))
			r.sweep("dx", l.k(0), []string{"x", "dy", "gamma"}, func(in []VecVirtual) VecVirtual {
				h := normalized(in[0], mean, rest, inv)
				return l.mul(l.sub(l.sub(l.mul(in[1], in[2]), a), l.mul(h, b)), inv)
			})
		})
}

// maxima generates the maximum over rows, where NaN wins.
func (l lanes) maxima() {
	l.columns("maxima", "sets most [n] to the maximum of the rows of x [rows,n], and to NaN where one is.", []string{"x"}, []string{"most"},
		func(h half) {
			h.load("x", h.reg(0))
			zero(h.reg(2))
		},
		func(h half) {
			most, x, never, which := h.reg(0), h.reg(1), h.reg(2), h.reg(3)
			h.load("x", x)
			VMAXPS(x, most, most)
			if l.masks {
				VCMPPS(U8(unordered), x, x, K3)
				VPMOVM2D(K3, which)
			} else {
				VCMPPS(U8(unordered), x, x, which)
			}
			VORPS(which, never, never) // all bits set, which is a NaN
		},
		func(h half) {
			VORPS(h.reg(2), h.reg(0), h.reg(0))
			h.store(h.reg(0), "most")
		})
}
