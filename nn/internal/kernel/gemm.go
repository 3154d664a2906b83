package kernel

// depthBlock is how many terms of the sum one pass over a tile takes: depthBlock rows of 32 columns are 32 KiB,
// which stay in the first-level cache while the rows of a stream past.
const depthBlock = 256

// Gemm adds the product of a [m,k] and b [k,n] to c [m,n], or sets c to it where accumulate is false.
// Element (i,p) of a lies at a[i*ars+p*acs], so that a may be read transposed; rows of b and c are ldb and ldc apart.
func Gemm(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	gemmBefore(nil, m, n, k, a, ars, acs, b, ldb, c, ldc, accumulate)
}

// gemmBefore is Gemm, and fetches next, which will be b in the next call: it lies elsewhere, and the processor sees
// a new stretch coming only once it is read.
func gemmBefore(next []float32, m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	accumulate bool,
) {
	if accumulate {
		loops.tile.product(m, n, k, a, ars, acs, b, ldb, c, ldc, c, ldc, next)
	} else {
		loops.tile.product(m, n, k, a, ars, acs, b, ldb, c, ldc, nil, 0, next)
	}
}

// gemm sets c to the product plus from, of which rows are ldf apart: c itself, one row for all with ldf 0, or nil
// for zeros.
func gemm(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int) {
	loops.tile.product(m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf)
}

// product is gemm, whatever the elements are, and fetches what comes next, one array after the other.
func (t *tileKernel) product(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int, next ...[]float32,
) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		begin(m, n, c, ldc, from, ldf)
		return
	}
	// The bounds of all are checked here, once, on behalf of the tiles, which may be assembly.
	if from != nil {
		_ = from[(m-1)*ldf+n-1]
	}
	_ = a[(m-1)*ars+(k-1)*acs]
	_ = b[(k-1)*ldb+n-1]
	_ = c[(m-1)*ldc+n-1]
	for p := 0; p < k; p += depthBlock {
		depth, cols := min(depthBlock, k-p), 0
		for j := 0; j < n; j += cols {
			var high int
			high, cols = t.cut(m, n-j)
			// The tiles one below the other, but the last, which may be lower.
			for lo := 0; lo < m; {
				rows := min(high, m-lo)
				to := c[lo*ldc+j:]
				w := walk{times: 1, tiles: min((m-lo)/rows, mostTiles), nextA: rows * ars, nextC: rows * ldc}
				start, apart := to, ldc
				switch {
				case p > 0:
				case from == nil:
					start, apart = zeros[:], 0
				default:
					start, apart = from[lo*ldf+j:], ldf
				}
				w.nextFrom = rows * apart
				at := a[lo*ars+p*acs:]
				for len(next) > 0 && len(next[0]) == 0 {
					next = next[1:]
				}
				if len(next) > 0 {
					w.fetch = inOrder(next[0])
					next[0] = next[0][min(len(next[0]), w.tiles*depth*line):]
				} else {
					w.fetch = rowsAhead(at, ars, acs, rows, depth)
				}
				t.add(rows, cols, depth, at, ars, acs, b[p*ldb+j:], ldb, to, ldc, start, apart, w)
				lo += w.tiles * rows
			}
		}
	}
}

// cut returns how high tiles of m rows are, of nearly equal height: 64 rows are 13+13+13+13+12, not 14*4+8, and how
// many columns of n they take.
func (t *tileKernel) cut(m, n int) (high, cols int) {
	high, wide := t.rows, t.cols
	if m == 1 {
		wide = t.rowCols
	}
	cols = min(wide, n)
	if cols < wide && t.narrow > 0 {
		high, cols = t.narrowRows, min(t.narrow, n)
	}
	tiles := (m + high - 1) / high
	return (m + tiles - 1) / tiles, cols
}

// begin sets the rows of c to those of from, as gemm has it.
func begin(m, n int, c []float32, ldc int, from []float32, ldf int) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if from == nil {
			clear(row)
		} else {
			copy(row, from[i*ldf:])
		}
	}
}

// tileKernel sets c to from plus the product of a small block: at most rows by cols, any depth. With one row cols
// may be up to rowCols. from is c, or rows of which none lies in c. What is left of cols at the end is, where
// narrow is not 0, done in tiles of at most narrowRows by narrow.
type tileKernel struct {
	rows, cols, rowCols int
	narrow, narrowRows  int
	add                 func(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
		from []float32, ldf int, w walk)
}

// walk is the way of a tile: through how many stretches of k it goes, and how far a and b move on after the end of
// each to the start of the next, which may be back; then how many tiles are done like the first, and how far a, c
// and from of the next are from those of this one. All of them read the same b.
type walk struct {
	times, a, b                   int
	tiles, nextA, nextC, nextFrom int
	fetch
}

// mostTiles bounds the tiles of a walk, which cannot be interrupted.
const mostTiles = 64

// eachTile goes the way with a function that makes one stretch of one tile.
func (w *walk) eachTile(add func(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int),
	m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int,
) {
	times := w.times
	if w.a == 0 && w.b == 0 { // one stretch in parts
		k, times = k*times, 1
	}
	for i := range w.tiles {
		to, start, apart := c[i*w.nextC:], from[i*w.nextFrom:], ldf
		for s := range times {
			add(m, n, k, a[i*w.nextA+s*(k*acs+w.a):], ars, acs, b[s*(k*ldb+w.b):], ldb, to, ldc, start, apart)
			start, apart = to, ldc
		}
	}
}

func portableTile(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int, w walk,
) {
	w.eachTile(portableStretch, m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf)
}

// portableStretch keeps 2 by 4 sums in registers, which is what the compiler manages without spilling.
func portableStretch(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	from []float32, ldf int,
) {
	if &from[0] != &c[0] {
		begin(m, n, c, ldc, from, ldf)
	}
	for j := 0; j < n; j += 4 {
		if n-j < 4 {
			tileTail(m, n-j, k, a, ars, acs, b[j:], ldb, c[j:], ldc)
			return
		}
		i := 0
		for ; i+2 <= m; i += 2 {
			var c00, c01, c02, c03, c10, c11, c12, c13 float32
			ai, aj, bp := i*ars, (i+1)*ars, j
			for range k {
				row := b[bp : bp+4 : bp+4]
				a0, a1 := a[ai], a[aj]
				b0, b1, b2, b3 := row[0], row[1], row[2], row[3]
				c00 += a0 * b0
				c01 += a0 * b1
				c02 += a0 * b2
				c03 += a0 * b3
				c10 += a1 * b0
				c11 += a1 * b1
				c12 += a1 * b2
				c13 += a1 * b3
				ai += acs
				aj += acs
				bp += ldb
			}
			row := c[i*ldc+j : i*ldc+j+4 : i*ldc+j+4]
			row[0] += c00
			row[1] += c01
			row[2] += c02
			row[3] += c03
			row = c[(i+1)*ldc+j : (i+1)*ldc+j+4 : (i+1)*ldc+j+4]
			row[0] += c10
			row[1] += c11
			row[2] += c12
			row[3] += c13
		}
		if i < m {
			tileTail(1, 4, k, a[i*ars:], ars, acs, b[j:], ldb, c[i*ldc+j:], ldc)
		}
	}
}

// tileTail is the plain loop, for what is left at the right and lower edge.
func tileTail(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	for i := range m {
		for j := range n {
			var sum float32
			for p := range k {
				sum += a[i*ars+p*acs] * b[p*ldb+j]
			}
			c[i*ldc+j] += sum
		}
	}
}

// Transpose writes src [rows,cols] to dst [cols,rows], in blocks that stay in cache.
func Transpose(dst, src []float32, rows, cols int) {
	const block = 16
	for i := 0; i < rows; i += block {
		ie := min(i+block, rows)
		for j := 0; j < cols; j += block {
			je := min(j+block, cols)
			for jj := j; jj < je; jj++ {
				out := dst[jj*rows+i : jj*rows+ie]
				at := i*cols + jj
				for ii := range out {
					out[ii] = src[at]
					at += cols
				}
			}
		}
	}
}

// AddTransposed adds rows [lo,hi) of the transpose of src [cols,rows] to dst [rows,cols].
func AddTransposed(dst, src []float32, rows, cols, lo, hi int) {
	const block = 16
	for i := lo; i < hi; i += block {
		ie := min(i+block, hi)
		for j := 0; j < cols; j += block {
			je := min(j+block, cols)
			for ii := i; ii < ie; ii++ {
				out := dst[ii*cols+j : ii*cols+je]
				at := j*rows + ii
				for jj := range out {
					out[jj] += src[at]
					at += rows
				}
			}
		}
	}
}
