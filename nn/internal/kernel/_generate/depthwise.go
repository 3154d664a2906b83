package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// depthwiseRows is how many positions the loops of depthwise convolution take at most: as many as one base register
// reaches.
const depthwiseRows = 8

func (l lanes) depthwise() {
	for rows := 1; rows <= depthwiseRows; rows++ {
		l.depthwiseForward(rows)
		l.depthwiseWeights(rows)
	}
}

// taps emits body for each of count taps, which gets the places of the input and of the weight. Both are in
// elements from src and weights.
func (l lanes) taps(label string, src, weights Register, body func(input Register, weight Mem)) {
	tap, left, input, weight := GP64(), GP64(), GP64(), GP64()
	MOVQ(must(Param("taps")), tap)
	MOVQ(must(Param("count")), left)
	Label(label)
	MOVQ(Mem{Base: tap}, input)
	LEAQ(Mem{Base: src, Index: input, Scale: 4}, input)
	MOVQ(Mem{Base: tap, Disp: 8}, weight)
	body(input, Mem{Base: weights, Index: weight, Scale: 4})
	ADDQ(U8(16), tap)
	DECQ(left)
	JNZ(LabelRef(label))
}

// multiplyAdd adds the product of a vector in memory and x to sum.
func (l lanes) multiplyAdd(m Mem, x, sum VecPhysical) {
	if l.masks {
		VFMADD231PS(m, x, K1, sum)
	} else {
		VFMADD231PS(m, x, sum)
	}
}

func (l lanes) depthwiseForward(rows int) {
	name := fmt.Sprintf("depthwise%sx%d", l.suffix, rows)
	TEXT(name, NOSPLIT, "func(dst *float32, out int, from *float32, begin int, src *float32, step int, w *float32, taps *int, count, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets %d rows of n channels of dst, out apart, to those of from, begin apart, plus the products of inputs, step apart, and weights at count taps. "+
		"Distances are in bytes.", name, rows))
	dst, from := Load(Param("dst"), GP64()), Load(Param("from"), GP64())
	src, step := Load(Param("src"), GP64()), Load(Param("step"), GP64())
	w, n := Load(Param("w"), GP64()), Load(Param("n"), GP64()).(GPVirtual)
	l.channels(n, []Register{dst, from, src, w}, func() {
		sums, weights := l.vectors(0, rows), l.vector(rows)
		at, apart := GP64(), GP64()
		MOVQ(must(Param("begin")), apart)
		MOVQ(from, at)
		for i, sum := range sums {
			along(at, apart, l.load)(i, sum)
		}
		l.taps("taps", src, w, func(input Register, weight Mem) {
			l.load(weight, weights)
			for i, m := range rowAddresses(input, step, rows) {
				l.multiplyAdd(m, weights, sums[i])
			}
		})
		MOVQ(must(Param("out")), apart)
		MOVQ(dst, at)
		for i, sum := range sums {
			along(at, apart, l.store)(i, sum)
		}
	})
}

func (l lanes) depthwiseWeights(rows int) {
	name := fmt.Sprintf("depthwiseWeights%sx%d", l.suffix, rows)
	TEXT(name, NOSPLIT, "func(dw *float32, grad *float32, apart int, src *float32, step int, taps *int, count, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s adds to dw at count taps the products of %d rows of n channels of grad, apart from each other, and inputs, step apart. Distances are in bytes.",
		name, rows))
	dw, grad := Load(Param("dw"), GP64()), Load(Param("grad"), GP64())
	src, step := Load(Param("src"), GP64()), Load(Param("step"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	l.channels(n, []Register{dw, grad, src}, func() {
		grads, sum := l.vectors(0, rows), l.vector(rows)
		at, apart := GP64(), GP64()
		MOVQ(must(Param("apart")), apart)
		MOVQ(grad, at)
		for i, g := range grads {
			along(at, apart, l.load)(i, g)
		}
		l.taps("taps", src, dw, func(input Register, weight Mem) {
			l.load(weight, sum)
			for i, m := range rowAddresses(input, step, rows) {
				l.multiplyAdd(m, grads[i], sum)
			}
			l.store(weight, sum)
		})
	})
}
