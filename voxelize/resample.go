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

// taps returns, for each of m target cells of edge e, the source cells that contribute to it, out of n cells of edge
// c. Both rows have the same centre. The kernel is the triangle of linear interpolation, as wide as the larger of the
// two cells, so that downsampling averages instead of skipping cells. Weights are normalised, which repeats the last
// cell at the border. A target cell whose centre lies outside the source has no taps.
func taps(n int, c float64, m int, e float64) [][]tap {
	out := make([][]tap, m)
	wide := max(1, e/c)
	for j := range out {
		// The target cell's centre in units of source cells, whose centres are at 0, 1, ... n-1.
		at := (float64(j)+0.5-float64(m)/2)*e/c + float64(n)/2 - 0.5
		if at < -0.5 || at > float64(n)-0.5 {
			continue
		}
		first, last := int(max(0, math.Ceil(at-wide))), int(min(float64(n-1), math.Floor(at+wide)))
		row, sum := make([]tap, 0, last-first+1), 0.0
		for i := first; i <= last; i++ {
			sum += max(0, 1-math.Abs(float64(i)-at)/wide)
		}
		for i := first; i <= last; i++ {
			if w := max(0, 1-math.Abs(float64(i)-at)/wide); w > 0 {
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

// resample returns src at another size: want cells of a cubic edge, centred on the have cells with edges cell. Cells
// outside the source get pad.
func resample(src []float32, have [3]int, cell [3]float64, want [3]int, edge float64, pad float32) []float32 {
	var mix [3][][]tap
	for k := range mix {
		mix[k] = taps(have[k], cell[k], want[k], edge)
	}
	// Axes that shrink the most come first, so that no intermediate array is larger than both source and target.
	order := []int{0, 1, 2}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(want[a]*have[b], want[b]*have[a]) })
	for _, axis := range order {
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
