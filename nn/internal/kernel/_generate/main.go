// Command _generate writes the assembly of package kernel with avo: see the go:generate lines there.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	tier := flag.String("tier", "", "avx2, avx512, low, avx2-elementwise or avx512-elementwise")
	flag.Parse() // avo takes its own flags, -out and -stubs, from the same set
	ConstraintExpr("amd64,!noasm")
	switch *tier {
	case "avx2":
		tiles2()
		narrow2()
		axpy2()
		adam2()
		spans2()
		lanes2.collect()
		lanes2.collectThrees()
		lanes2.collectCube()
		pool2()
		unpool2()
		voxels2()
		outer2()
		respond2()
		gather2()
		dropout2()
		lanes2.batchNorm()
		lanes2.winograd()
		lanes2.depthwise()
		lanes2.rectifyGrad()
		lanes2.stream()
		fence()
	case "avx512":
		tiles512()
		narrow512()
		axpy512()
		adam512()
		spans512()
		lanes512.collect()
		lanes512.collectThrees()
		lanes512.collectCube()
		survive512()
		pool512()
		unpool512()
		voxels512()
		outer512()
		respond512()
		dropout512()
		gather512()
		list512()
		lanes512.batchNorm()
		lanes512.winograd()
		lanes512.depthwise()
		lanes512.rectifyGrad()
		lanes512.stream()
	case "low":
		lowPrecision()
	case "avx2-elementwise":
		lanes2.elementwise()
		lanes2.softmax()
		lanes2.layerNorm()
		lanes2.average()
		lanes2.optimizers()
		lanes2.prelu()
		lanes2.maxima()
	case "avx512-elementwise":
		lanes512.elementwise()
		lanes512.softmax()
		lanes512.layerNorm()
		lanes512.average()
		lanes512.optimizers()
		lanes512.prelu()
		lanes512.maxima()
	default:
		log.Fatalf("-tier is %q, want avx2, avx512, low, avx2-elementwise or avx512-elementwise", *tier)
	}
	Generate()
}

// rowAddresses returns the places of up to 14 rows, stride apart, that one loop can reach from two bases without
// adding.
func rowAddresses(base, stride Register, rows int) []Mem {
	multiple := map[int]GPVirtual{}
	times := func(n int) Register {
		if n == 1 {
			return stride
		}
		r, ok := multiple[n]
		if !ok {
			r = GP64()
			if n == 7 {
				MOVQ(stride, r)
				SHLQ(U8(3), r)
				SUBQ(stride, r)
			} else {
				LEAQ(Mem{Base: stride, Index: stride, Scale: uint8(n - 1)}, r) // 3 and 5
			}
			multiple[n] = r
		}
		return r
	}
	second := Register(nil)
	if rows > 9 {
		second = GP64()
		LEAQ(Mem{Base: base, Index: stride, Scale: 8}, second)
		ADDQ(stride, second)
	}
	at := make([]Mem, rows)
	for i := range at {
		from, n := base, i
		if i >= 9 {
			from, n = second, i-9
		}
		switch n {
		case 0:
			at[i] = Mem{Base: from}
		case 1, 2, 4, 8:
			at[i] = Mem{Base: from, Index: stride, Scale: uint8(n)}
		case 6:
			at[i] = Mem{Base: from, Index: times(3), Scale: 2}
		default:
			at[i] = Mem{Base: from, Index: times(n), Scale: 1}
		}
	}
	return at
}

// bases returns the different base registers of some addresses.
func bases(at []Mem) []Register {
	var out []Register
	for _, m := range at {
		if len(out) == 0 || out[len(out)-1] != m.Base {
			out = append(out, m.Base)
		}
	}
	return out
}
