package fast

import "iter"

const (
	// pieceLen is how many elements an elementwise operation takes at a time, so that they stay in the first-level cache; a multiple of vectorLen.
	pieceLen = 4096
	// piecesPerTask is how many pieces one task takes: some tens of microseconds of work.
	piecesPerTask = 8
)

// tasks returns how many tasks an elementwise operation on n elements has.
func tasks(n int) int { return blocks(n, piecesPerTask*pieceLen) }

// pieces yields the ranges of a task of an elementwise operation on n elements.
func pieces(n, task int) iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		first, last := block(n, piecesPerTask*pieceLen, task)
		for lo := first; lo < last; lo += pieceLen {
			if !yield(lo, min(lo+pieceLen, last)) {
				return
			}
		}
	}
}
