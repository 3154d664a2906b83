package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tile is a function that sets c to from plus a [rows,k] times b [k,cols], summed over some stretches of k, and
// does so for some tiles: what all of them have in common.
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
	signature, of := "func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, times, amove, bmove, tiles, anext, bnext, cnext, fromnext int, ahead uintptr, step, hop, skip int", ""
	if t.masked {
		signature, of = signature+", mask uint32", ", of the columns in mask"
	}
	TEXT(t.name, NOSPLIT, signature+")")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets c to from plus the sum of some times a [%d,k] times b [k,%d]%s, after each of which a and b move on by amove and bmove; then the same for the next of some tiles, to which a, b, c and from move on by anext, bnext, cnext and fromnext. Distances are in bytes, from where the last row or stretch ends. The line at ahead is fetched with each of k, then ahead moves on by step, after a stretch by hop and after a tile by skip.", t.name, t.rows, t.cols, of))
	k, times := GP64(), GP64()
	a, ars, acs := Load(Param("a"), GP64()), Load(Param("ars"), GP64()), Load(Param("acs"), GP64())
	b, ldb := Load(Param("b"), GP64()), Load(Param("ldb"), GP64())
	ahead, step := Load(Param("ahead"), GP64()), Load(Param("step"), GP64())
	if t.prepare != nil {
		t.prepare()
	}
	at := rowAddresses(a, ars, t.rows)
	Label("tile")
	for _, s := range t.sums {
		zero(s)
	}
	Load(Param("times"), times)
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
	move := func(on string, registers ...Register) {
		for _, r := range registers {
			ADDQ(must(Param(on)), r)
		}
	}
	move("amove", bases(at)...)
	move("bmove", b)
	move("hop", ahead)
	DECQ(times)
	JNZ(LabelRef("stretch"))

	c, from := Load(Param("c"), GP64()), Load(Param("from"), GP64())
	for i := range t.rows {
		t.store(i, from, c)
		if i+1 < t.rows {
			move("ldc", c)
			move("ldf", from)
		}
	}
	DECQ(must(Param("tiles")))
	JZ(LabelRef("done"))
	move("anext", bases(at)...)
	move("bnext", b)
	move("skip", ahead)
	move("cnext", c)
	move("fromnext", from)
	Store(c, Param("c"))
	Store(from, Param("from"))
	JMP(LabelRef("tile"))
	Label("done")
	VZEROUPPER()
	RET()
}
