package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tile is a function that sets c to from plus a [rows,k] times b [k,cols]: what all of them have in common.
type tile struct {
	name       string
	rows, cols int
	// masked functions take a mask of columns, which prepare loads.
	masked  bool
	prepare func()
	ahead   bool
	sums    []VecPhysical
	// step adds the products of one of k: of the rows of a, at those places, by a row of b.
	step func(a []Mem, b Register)
	// store adds a row of from to the sums of row i, and writes them to c.
	store func(i int, from, c Register)
}

func (t tile) generate() {
	signature, of := "func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int", ""
	if t.masked {
		signature, of = signature+", mask uint32", ", of the columns in mask"
	}
	TEXT(t.name, NOSPLIT, signature+")")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets c to from plus a [%d,k] times b [k,%d]%s. Distances are in bytes.", t.name, t.rows, t.cols, of))
	k := Load(Param("k"), GP64())
	a, ars, acs := Load(Param("a"), GP64()), Load(Param("ars"), GP64()), Load(Param("acs"), GP64())
	b, ldb := Load(Param("b"), GP64()), Load(Param("ldb"), GP64())
	if t.prepare != nil {
		t.prepare()
	}
	for _, s := range t.sums {
		zero(s)
	}
	at := rowAddresses(a, ars, t.rows)
	next, step := GP64(), GP64()
	if t.ahead {
		// rows of a that lie apart: the next but one rows
		other := GP64()
		MOVQ(U32(uint32(4*t.rows)), step)
		IMUL3Q(U32(uint32(2*t.rows)), ars, next)
		LEAQ(Mem{Base: a, Index: next, Scale: 1}, next)
		LEAQ(Mem{Base: acs, Index: acs, Scale: 1}, other)
		LEAQ(Mem{Base: a, Index: other, Scale: 8}, other)
		CMPQ(acs, U8(4))
		CMOVQNE(acs, step)
		CMOVQNE(other, next)
	}
	Label("loop")
	t.step(at, b)
	if t.ahead {
		PREFETCHT0(Mem{Base: next})
		ADDQ(step, next)
	}
	for _, base := range bases(at) {
		ADDQ(acs, base)
	}
	ADDQ(ldb, b)
	DECQ(k)
	JNZ(LabelRef("loop"))

	c, ldc := Load(Param("c"), GP64()), Load(Param("ldc"), GP64())
	from, ldf := Load(Param("from"), GP64()), Load(Param("ldf"), GP64())
	for i := range t.rows {
		t.store(i, from, c)
		if i+1 < t.rows {
			ADDQ(ldc, c)
			ADDQ(ldf, from)
		}
	}
	VZEROUPPER()
	RET()
}
