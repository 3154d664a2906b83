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
	sums := zmm[:rows]
	tile{
		name: fmt.Sprintf("narrow512x%d", rows), rows: rows, cols: 16, sums: sums, masked: true,
		prepare: func() { KMOVW(Load(Param("mask"), GP32()), K1) },
		step: func(a []Mem, b Register) {
			VMOVUPS_Z(Mem{Base: b}, K1, zmm[31])
			for i, z := range sums {
				VFMADD231PS_BCST(a[i], zmm[31], z)
			}
		},
		store: func(i int, from, c Register) {
			VMOVUPS_Z(Mem{Base: from}, K1, zmm[30])
			VADDPS(sums[i], zmm[30], zmm[30])
			VMOVUPS(zmm[30], K1, Mem{Base: c})
		},
	}.generate()
}
