package main

import (
	"fmt"
	"math/bits"

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
	next, step := rowsAhead(a, ars, acs, t.rows)
	Label("loop")
	t.step(at, b)
	PREFETCHT0(Mem{Base: next})
	ADDQ(step, next)
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

// rowsAhead returns what a tile fetches for later, a line with each of k: the place and how far it moves on. Where elements of a row lie side by side it goes
// through the rows of the next tile but one, as fast as k tiles do; where a is read down its columns, through those of some k later. Rows that come from memory
// are there when they are wanted, which makes layers that are bound by memory faster by a fifth.
func rowsAhead(a, ars, acs Register, rows int) (next, step GPVirtual) {
	const later = 32
	next, step = GP64(), GP64()
	IMUL3Q(U32(uint32(2*rows)), ars, next)
	LEAQ(Mem{Base: a, Index: next, Scale: 1}, next)
	MOVQ(U32(uint32(4*rows)), step)
	down := GP64()
	MOVQ(acs, down)
	SHLQ(U8(bits.TrailingZeros(later)), down)
	ADDQ(a, down)
	CMPQ(acs, U8(4))
	CMOVQNE(down, next)
	CMOVQNE(acs, step)
	return next, step
}
