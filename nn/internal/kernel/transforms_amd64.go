//go:build amd64 && !noasm

package kernel

// The assembly of transforms, by the kind of what it turns into what.
type (
	rowsToRows    func(dst *float32, to int, src *float32, from, n int)
	cellsToPoints func(dst, src, scratch *float32, plane, row, cell, step, n int)
	pointsToCells func(dst, src, bias, scratch *float32, step, n int)
)

// assembled makes transforms of assembly that takes multiples of some lanes as numbers of channels; for others
// there is the plain loop.
func assembled(lanes int, plain *transforms, weights rowsToRows, input cellsToPoints, output pointsToCells, spread cellsToPoints, fold rowsToRows) transforms {
	t := transforms{weights: weights.orPlain(lanes, plain.weights), input: input.orPlain(lanes, plain.input), output: output.orPlain(lanes, plain.output)}
	if spread != nil {
		t.spread, t.fold = spread.orPlain(lanes, plain.spread), fold.orPlain(lanes, plain.fold)
	}
	return t
}

func (f rowsToRows) orPlain(lanes int, plain func(dst []float32, to int, src []float32, from, n int)) func(dst []float32, to int, src []float32, from, n int) {
	return func(dst []float32, to int, src []float32, from, n int) {
		if n%lanes != 0 {
			plain(dst, to, src, from, n)
			return
		}
		f(&dst[0], to, &src[0], from, n)
	}
}

func (f cellsToPoints) orPlain(
	lanes int, plain func(dst, src, scratch []float32, plane, row, cell, step, n int),
) func(dst, src, scratch []float32, plane, row, cell, step, n int) {
	return func(dst, src, scratch []float32, plane, row, cell, step, n int) {
		if n%lanes != 0 {
			plain(dst, src, scratch, plane, row, cell, step, n)
			return
		}
		f(&dst[0], &src[0], &scratch[0], plane, row, cell, step, n)
	}
}

func (f pointsToCells) orPlain(lanes int, plain func(dst, src, bias, scratch []float32, step, n int)) func(dst, src, bias, scratch []float32, step, n int) {
	return func(dst, src, bias, scratch []float32, step, n int) {
		if n%lanes != 0 {
			plain(dst, src, bias, scratch, step, n)
			return
		}
		f(&dst[0], &src[0], &bias[0], &scratch[0], step, n)
	}
}
