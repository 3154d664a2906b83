package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// narrow512 generates narrow512x1 to narrow512x14: rows of 16 columns, which tiles of 32 would compute half in vain.
func narrow512() {
	for rows := 1; rows <= 14; rows++ {
		narrowTile512(rows)
	}
}

func narrowTile512(rows int) {
	name := fmt.Sprintf("narrow512x%d", rows)
	TEXT(name, NOSPLIT, "func(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, from *float32, ldf int, mask uint32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets c to from plus a [%d,k] times b [k,16], of the columns in mask. Distances are in bytes.", name, rows))
	k := Load(Param("k"), GP64())
	a, ars, acs := Load(Param("a"), GP64()), Load(Param("ars"), GP64()), Load(Param("acs"), GP64())
	b, ldb := Load(Param("b"), GP64()), Load(Param("ldb"), GP64())
	mask := GP32()
	Load(Param("mask"), mask)
	KMOVW(mask, K1)
	sums := zmm[:rows]
	for _, z := range sums {
		VXORPS(z.AsY(), z.AsY(), z.AsY()) // clears all 512 bits
	}
	at := rowAddresses(a, ars, rows)
	Label("loop")
	VMOVUPS_Z(Mem{Base: b}, K1, zmm[31])
	for i, z := range sums {
		VFMADD231PS_BCST(at[i], zmm[31], z)
	}
	for _, base := range bases(at) {
		ADDQ(acs, base)
	}
	ADDQ(ldb, b)
	DECQ(k)
	JNZ(LabelRef("loop"))

	c, ldc := Load(Param("c"), GP64()), Load(Param("ldc"), GP64())
	from, ldf := Load(Param("from"), GP64()), Load(Param("ldf"), GP64())
	for i, z := range sums {
		VMOVUPS_Z(Mem{Base: from}, K1, zmm[30])
		VADDPS(z, zmm[30], zmm[30])
		VMOVUPS(zmm[30], K1, Mem{Base: c})
		if i+1 < rows {
			ADDQ(ldc, c)
			ADDQ(ldf, from)
		}
	}
	VZEROUPPER()
	RET()
}
