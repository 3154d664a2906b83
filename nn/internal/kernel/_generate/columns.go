package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lanes is an instruction set for the loops over channels: with masks any number of channels will do, else a
// multiple of two vectors.
type lanes struct {
	suffix string
	bytes  int // of a vector
	masks  bool
}

var (
	lanes512 = lanes{suffix: "512", bytes: 64, masks: true}
	lanes2   = lanes{suffix: "2", bytes: 32}
)

// column is the state of a loop over the rows of some arrays [rows,n], two vectors of channels at a time.
type column struct {
	lanes
	pointers map[string]Register // into the arrays and the vectors, at the current channels
	loop     map[string]Register // into the arrays, at the current row
}

// half is one of the two vectors.
type half struct {
	*column
	index int
	mask  OpmaskPhysical
}

// reg returns a vector register of this half.
func (h half) reg(i int) VecPhysical {
	if h.masks {
		return zmm[2*i+h.index]
	}
	return ymm[2*i+h.index]
}

// zero clears a register, all of it.
func zero(r VecPhysical) { VXORPS(r.AsY(), r.AsY(), r.AsY()) }

// load reads the current channels of an array's current row, or of a vector.
func (h half) load(name string, to VecPhysical) {
	from, ok := h.loop[name]
	if !ok {
		from = h.pointers[name]
	}
	m := Mem{Base: from, Disp: h.bytes * h.index}
	if h.masks {
		VMOVUPS_Z(m, h.mask, to)
	} else {
		VMOVUPS(m, to)
	}
}

func (h half) store(from VecPhysical, name string) {
	to, ok := h.loop[name]
	if !ok {
		to = h.pointers[name]
	}
	m := Mem{Base: to, Disp: h.bytes * h.index}
	if h.masks {
		VMOVUPS(from, h.mask, m)
	} else {
		VMOVUPS(from, m)
	}
}

// columns generates a function over arrays [rows,n] and vectors [n]: before and after run once for each half of the
// channels, each for each row.
func (l lanes) columns(name, doc string, arrays, vectors []string, before, each, after func(h half)) {
	sig := "func("
	for i, p := range append(append([]string{}, arrays...), vectors...) {
		if i > 0 {
			sig += ", "
		}
		sig += p
	}
	TEXT(name+l.suffix, NOSPLIT, sig+" *float32, rows, n int)")
	Pragma("noescape")
	Doc(name + l.suffix + " " + doc)
	c := &column{lanes: l, pointers: map[string]Register{}, loop: map[string]Register{}}
	for _, p := range append(append([]string{}, arrays...), vectors...) {
		c.pointers[p] = Load(Param(p), GP64())
	}
	for _, p := range arrays {
		c.loop[p] = GP64()
	}
	rows, stride := GP64(), Load(Param("n"), GP64())
	SHLQ(U8(2), stride)
	halves := []half{{c, 0, K1}, {c, 1, K2}}
	both := func(f func(h half)) {
		if f != nil {
			f(halves[0])
			f(halves[1])
		}
	}
	Label("channels")
	if l.masks {
		m, all := GP64(), GP64()
		MOVQ(must(Param("n")), m)
		MOVQ(U32(32), all)
		CMPQ(m, all)
		CMOVQGT(all, m)
		MOVQ(I32(-1), all)
		BZHIQ(m, all, all)
		KMOVW(all.As32(), K1)
		SHRQ(U8(16), all)
		KMOVW(all.As32(), K2)
	}
	for _, p := range arrays {
		MOVQ(c.pointers[p], c.loop[p])
	}
	both(before)
	MOVQ(must(Param("rows")), rows)
	Label("row")
	both(each)
	for _, p := range arrays {
		ADDQ(stride, c.loop[p])
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
	both(after)
	for _, p := range append(append([]string{}, arrays...), vectors...) {
		ADDQ(U32(2*l.bytes), c.pointers[p])
	}
	SUBQ(U8(l.bytes/2), must(Param("n")))
	JG(LabelRef("channels"))
	VZEROUPPER()
	RET()
}

// batchNorm generates the loops of batch normalization.
func (l lanes) batchNorm() {
	l.columns("sums", "sets sums [n] to the sum of the rows of x [rows,n].",
		[]string{"x"}, []string{"sums"},
		func(h half) { zero(h.reg(0)) },
		func(h half) {
			h.load("x", h.reg(1))
			VADDPS(h.reg(1), h.reg(0), h.reg(0))
		},
		func(h half) { h.store(h.reg(0), "sums") })
	l.columns("squares", "sets sums [n] to the sum over rows of (x-mean)^2.",
		[]string{"x"}, []string{"sums", "mean"},
		func(h half) {
			zero(h.reg(0))
			h.load("mean", h.reg(2))
		},
		func(h half) {
			h.load("x", h.reg(1))
			VSUBPS(h.reg(2), h.reg(1), h.reg(1))
			VFMADD231PS(h.reg(1), h.reg(1), h.reg(0))
		},
		func(h half) { h.store(h.reg(0), "sums") })
	l.columns("scaleShift", "sets dst [rows,n] to x*scale+shift.",
		[]string{"dst", "x"}, []string{"scale", "shift"},
		func(h half) {
			h.load("scale", h.reg(0))
			h.load("shift", h.reg(1))
		},
		func(h half) {
			h.load("x", h.reg(2))
			VFMADD213PS(h.reg(1), h.reg(0), h.reg(2))
			h.store(h.reg(2), "dst")
		}, nil)
	l.columns("gradSums", "sets dbeta [n] to the sum over rows of dy, and dgamma to that of dy*(x-mean).",
		[]string{"x", "dy"}, []string{"dbeta", "dgamma", "mean"},
		func(h half) {
			zero(h.reg(0))
			zero(h.reg(1))
			h.load("mean", h.reg(2))
		},
		func(h half) {
			h.load("x", h.reg(3))
			h.load("dy", h.reg(4))
			VADDPS(h.reg(4), h.reg(0), h.reg(0))
			VSUBPS(h.reg(2), h.reg(3), h.reg(3))
			VFMADD231PS(h.reg(3), h.reg(4), h.reg(1))
		},
		func(h half) {
			h.store(h.reg(0), "dbeta")
			h.store(h.reg(1), "dgamma")
		})
	l.columns("combine", "sets dst [rows,n] to a*dy + b*x + d.",
		[]string{"dst", "x", "dy"}, []string{"a", "b", "d"},
		func(h half) {
			h.load("a", h.reg(0))
			h.load("b", h.reg(1))
			h.load("d", h.reg(2))
		},
		func(h half) {
			h.load("x", h.reg(3))
			VFMADD213PS(h.reg(2), h.reg(1), h.reg(3))
			h.load("dy", h.reg(4))
			VFMADD231PS(h.reg(4), h.reg(0), h.reg(3))
			h.store(h.reg(3), "dst")
		}, nil)
}

// rectifyGrad generates the gradient of a rectifier.
func (l lanes) rectifyGrad() {
	zeroed := zmm[30]
	if !l.masks {
		zeroed = ymm[14]
	}
	l.columns("rectifyGrad", "sets dst [rows,n] to grad where out is positive, else to zero.",
		[]string{"dst", "grad", "out"}, nil,
		func(half) { zero(zeroed) },
		func(h half) {
			h.load("grad", h.reg(0))
			h.load("out", h.reg(1))
			// Not less or equal: greater, or NaN.
			if l.masks {
				VCMPPS(U8(0x16), zeroed, h.reg(1), K3)
				VMOVAPS_Z(h.reg(0), K3, h.reg(0))
			} else {
				VCMPPS(U8(0x16), zeroed, h.reg(1), h.reg(1))
				VANDPS(h.reg(1), h.reg(0), h.reg(0))
			}
			h.store(h.reg(0), "dst")
		}, nil)
}
