package voxelize

import (
	"cmp"
	"math"
	"slices"
)

// tap is the weight of a source cell in a target cell.
type tap struct {
	source int
	weight float32
}

// kernel is an interpolation: its weight at a distance in cells, and the distance from which on it is 0.
type kernel struct {
	weight  func(x float64) float64
	support float64
}

// kernels are those of the interpolations except Nearest. Cubic is the cubic convolution of Keys (1981), "Cubic
// convolution interpolation for digital image processing", with a = -1/2.
var kernels = map[Interpolation]kernel{
	Linear: {func(x float64) float64 { return max(0, 1-math.Abs(x)) }, 1},
	Cubic: {func(x float64) float64 {
		const a = -0.5
		switch x = math.Abs(x); {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
		return 0
	}, 2},
}

// taps returns, for each of m target cells of edge e, the source cells that contribute to it, out of n cells of edge
// c. Both rows have the same centre. The kernel is stretched to the larger of the two cells, so that downsampling
// averages instead of skipping cells; Nearest takes the cell that holds the target's centre. Weights are normalized,
// which repeats the last cell at the border. A target cell whose centre lies outside the source has no taps.
func taps(n int, c float64, m int, e float64, how Interpolation) [][]tap {
	out := make([][]tap, m)
	wide := max(1, e/c)
	k := kernels[how]
	for j := range out {
		// The target cell's centre in units of source cells, whose centres are at 0, 1, ... n-1.
		at := (float64(j)+0.5-float64(m)/2)*e/c + float64(n)/2 - 0.5
		if at < -0.5 || at > float64(n)-0.5 {
			continue
		}
		if how == Nearest {
			out[j] = []tap{{min(int(at+0.5), n-1), 1}}
			continue
		}
		reach := wide * k.support
		first, last := int(max(0, math.Ceil(at-reach))), int(min(float64(n-1), math.Floor(at+reach)))
		row, sum := make([]tap, 0, last-first+1), 0.0
		for i := first; i <= last; i++ {
			sum += k.weight((float64(i) - at) / wide)
		}
		for i := first; i <= last; i++ {
			if w := k.weight((float64(i) - at) / wide); w != 0 {
				row = append(row, tap{i, float32(w / sum)})
			}
		}
		out[j] = row
	}
	return out
}

// along resamples an array of dims (z, y, x; x fastest) along one axis.
func along(src []float32, dims [3]int, axis int, mix [][]tap) []float32 {
	outer, inner := 1, 1
	for _, n := range dims[:axis] {
		outer *= n
	}
	for _, n := range dims[axis+1:] {
		inner *= n
	}
	dst := make([]float32, outer*len(mix)*inner)
	for o := range outer {
		from := src[o*dims[axis]*inner:]
		if inner == 1 {
			to := dst[o*len(mix):][:len(mix)]
			for j, row := range mix {
				for _, t := range row {
					to[j] += t.weight * from[t.source]
				}
			}
			continue
		}
		for j, row := range mix {
			to := dst[(o*len(mix)+j)*inner:][:inner]
			for _, t := range row {
				for k, v := range from[t.source*inner:][:inner] {
					to[k] += t.weight * v
				}
			}
		}
	}
	return dst
}

// same reports whether the taps leave a row of n cells as it is.
func same(mix [][]tap, n int) bool {
	for j, row := range mix {
		if len(row) != 1 || row[0] != (tap{j, 1}) {
			return false
		}
	}
	return len(mix) == n
}

// resample returns src at another size: want cells of the given edges, centred on the have cells with edges cell. Cells
// outside the source get pad.
func resample(src []float32, have [3]int, cell [3]float64, want [3]int, edge [3]float64, pad float32,
	how Interpolation,
) []float32 {
	var mix [3][][]tap
	for k := range mix {
		mix[k] = taps(have[k], cell[k], want[k], edge[k], how)
	}
	// Axes that shrink the most come first, so that no intermediate array is larger than both source and target.
	order := []int{0, 1, 2}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(want[a]*have[b], want[b]*have[a]) })
	for _, axis := range order {
		if same(mix[axis], have[axis]) {
			continue
		}
		src = along(src, have, axis, mix[axis])
		have[axis] = want[axis]
	}
	i := 0
	for z := range want[0] {
		for y := range want[1] {
			for x := range want[2] {
				if len(mix[0][z]) == 0 || len(mix[1][y]) == 0 || len(mix[2][x]) == 0 {
					src[i] = pad
				}
				i++
			}
		}
	}
	return src
}
