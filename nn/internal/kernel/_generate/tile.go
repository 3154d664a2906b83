package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tile is a function that sets c to from plus a [rows,k] times b [k,cols], for each of some stretches of k: what all of them have in common.
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
	signature, of := "func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, ahead uintptr, step, times, amove, bmove int", ""
	if t.masked {
		signature, of = signature+", mask uint32", ", of the columns in mask"
	}
	TEXT(t.name, NOSPLIT, signature+")")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets c to from plus a [%d,k] times b [k,%d]%s, and so on some times, after each of which a and ahead move on by amove and b by bmove. Distances are in bytes. With each of k it fetches the line at ahead, which moves on by step.", t.name, t.rows, t.cols, of))
	k := GP64()
	a, ars, acs := Load(Param("a"), GP64()), Load(Param("ars"), GP64()), Load(Param("acs"), GP64())
	b, ldb := Load(Param("b"), GP64()), Load(Param("ldb"), GP64())
	if t.prepare != nil {
		t.prepare()
	}
	for _, s := range t.sums {
		zero(s)
	}
	at := rowAddresses(a, ars, t.rows)
	ahead, step := Load(Param("ahead"), GP64()), Load(Param("step"), GP64())
	Label("stretch")
	Load(Param("k"), k)
	Label("loop")
	t.step(at, b)
	PREFETCHT0(Mem{Base: ahead})
	ADDQ(step, ahead)
	for _, base := range bases(at) {
		ADDQ(acs, base)
	}
	ADDQ(ldb, b)
	DECQ(k)
	JNZ(LabelRef("loop"))
	for _, base := range append(bases(at), ahead) {
		ADDQ(must(Param("amove")), base)
	}
	ADDQ(must(Param("bmove")), b)
	DECQ(must(Param("times")))
	JNZ(LabelRef("stretch"))

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
