package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// narrow2 generates narrow2x1 to narrow2x12: rows of 8 columns or less, which tiles of 16 would compute half in vain.
func narrow2() {
	for rows := 1; rows <= 12; rows++ {
		narrowTile2(rows)
	}
}

func narrowTile2(rows int) {
	name := fmt.Sprintf("narrow2x%d", rows)
	TEXT(name, NOSPLIT, "func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, mask *int32, whole int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets c to from plus a [%d,k] times b [k,8], of the columns in mask; whole is not zero where these are all 8. Distances are in bytes.", name, rows))
	k := Load(Param("k"), GP64())
	a, ars, acs := Load(Param("a"), GP64()), Load(Param("ars"), GP64()), Load(Param("acs"), GP64())
	b, ldb := Load(Param("b"), GP64()), Load(Param("ldb"), GP64())
	mask, row := ymm[15], ymm[12]
	VMOVDQU(Mem{Base: Load(Param("mask"), GP64())}, mask)
	sums := ymm[:rows]
	for _, y := range sums {
		VXORPS(y, y, y)
	}
	at := rowAddresses(a, ars, rows)
	Label("loop")
	VMASKMOVPS(Mem{Base: b}, mask, row)
	for i, y := range sums {
		x := ymm[13+i%2]
		VBROADCASTSS(at[i], x)
		VFMADD231PS(x, row, y)
	}
	for _, base := range bases(at) {
		ADDQ(acs, base)
	}
	ADDQ(ldb, b)
	DECQ(k)
	JNZ(LabelRef("loop"))

	c, ldc := Load(Param("c"), GP64()), Load(Param("ldc"), GP64())
	from, ldf := Load(Param("from"), GP64()), Load(Param("ldf"), GP64())
	next := func(i int) {
		if i+1 < rows {
			ADDQ(ldc, c)
			ADDQ(ldf, from)
		}
	}
	CMPQ(must(Param("whole")), U8(0))
	JNE(LabelRef("whole"))
	for i, y := range sums {
		VMASKMOVPS(Mem{Base: from}, mask, row)
		VADDPS(y, row, row)
		VMASKMOVPS(row, mask, Mem{Base: c})
		next(i)
	}
	VZEROUPPER()
	RET()
	Label("whole") // some processors take long to store under a mask
	for i, y := range sums {
		VADDPS(Mem{Base: from}, y, y)
		VMOVUPS(y, Mem{Base: c})
		next(i)
	}
	VZEROUPPER()
	RET()
}
