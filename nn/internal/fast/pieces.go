package fast

import "iter"

const (
	// pieceLen is how many elements an elementwise operation takes at a time, so that they stay in the first-level
	// cache; a multiple of vectorLen.
	pieceLen = 4096
	// piecesPerTask is how many pieces one task takes: some tens of microseconds of work.
	piecesPerTask = 8
)

// tasks returns how many tasks an elementwise operation on n elements has.
func tasks(n int) int { return blocks(n, piecesPerTask*pieceLen) }

// pieces yields the ranges of a task of an elementwise operation on n elements.
func pieces(n, task int) iter.Seq2[int, int] {
	return cut(n, pieceLen, task)
}

// rowPieceLen is pieceLen in whole rows of c elements, one at least.
func rowPieceLen(c int) int { return max(pieceLen/c, 1) * c }

// rowTasks returns how many tasks an operation on rows of c elements has, n elements in all.
func rowTasks(n, c int) int { return blocks(n, piecesPerTask*rowPieceLen(c)) }

// rowPieces yields the ranges of a task of an operation on rows of c elements, n elements in all.
func rowPieces(n, c, task int) iter.Seq2[int, int] { return cut(n, rowPieceLen(c), task) }

// cut yields the ranges of a task, each of some length but the last.
func cut(n, length, task int) iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		first, last := block(n, piecesPerTask*length, task)
		for lo := first; lo < last; lo += length {
			if !yield(lo, min(lo+length, last)) {
				return
			}
		}
	}
}
