package kernel

// depthBlock is how many terms of the sum one pass over a tile takes: depthBlock rows of 32 columns are 32 KiB, which stay in the first-level
// cache while the rows of a stream past.
const depthBlock = 256

// Gemm adds the product of a [m,k] and b [k,n] to c [m,n], or sets c to it where accumulate is false.
// Element (i,p) of a lies at a[i*ars+p*acs], so that a may be read transposed; rows of b and c are ldb and ldc apart.
func Gemm(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	gemmBefore(nil, m, n, k, a, ars, acs, b, ldb, c, ldc, accumulate)
}

// gemmBefore is Gemm, and fetches next, which will be b in the next call: it lies elsewhere, and the processor sees a new stretch coming only once it is read.
func gemmBefore(next []float32, m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	if accumulate {
		loops.tile.product(m, n, k, a, ars, acs, b, ldb, c, ldc, c, ldc, next)
	} else {
		loops.tile.product(m, n, k, a, ars, acs, b, ldb, c, ldc, nil, 0, next)
	}
}

// gemm sets c to the product plus from, of which rows are ldf apart: c itself, one row for all with ldf 0, or nil for zeros.
func gemm(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int) {
	loops.tile.product(m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf, nil)
}

// product is gemm, whatever the elements are, and fetches what comes next.
func (t *tileKernel) product(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, next []float32) {
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
			var strips int
			strips, cols = t.cut(m, n-j)
			for s := range strips {
				// Strips of nearly equal height: 64 rows are 13+13+13+13+12, not 14*4+8.
				lo, hi := m*s/strips, m*(s+1)/strips
				to := c[lo*ldc+j:]
				start, apart := to, ldc
				switch {
				case p > 0:
				case from == nil:
					start, apart = zeros[:], 0
				default:
					start, apart = from[lo*ldf+j:], ldf
				}
				rows := a[lo*ars+p*acs:]
				var f fetch
				if len(next) > 0 {
					f = inOrder(next)
					next = next[min(len(next), depth*line):]
				} else {
					f = rowsAhead(rows, ars, acs, hi-lo)
				}
				t.add(hi-lo, cols, depth, rows, ars, acs, b[p*ldb+j:], ldb, to, ldc, start, apart, f)
			}
		}
	}
}

// stretched adds to c [m,n] the products of a [m,k] and b [k,n] of some stretches, and fetches f, which is near a, with each tile. It is for few stretches: those of b
// are to stay in the first-level cache.
func (t *tileKernel) stretched(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, s stretches, f fetch) {
	// As in product.
	_ = a[(m-1)*ars+(k-1)*acs+(s.times-1)*(k*acs+s.a)]
	_ = b[(k-1)*ldb+n-1+(s.times-1)*(k*ldb+s.b)]
	_ = c[(m-1)*ldc+n-1]
	for j, cols := 0, 0; j < n; j += cols {
		var strips int
		strips, cols = t.cut(m, n-j)
		for i := range strips {
			lo, hi := m*i/strips, m*(i+1)/strips
			to := c[lo*ldc+j:]
			t.along(hi-lo, cols, k, a[lo*ars:], ars, acs, b[j:], ldb, to, ldc, to, ldc, s, fetch{f.at + uintptr(4*lo*ars), f.step})
		}
	}
}

// cut returns into how many strips m rows are cut, and how many columns of n tiles take.
func (t *tileKernel) cut(m, n int) (strips, cols int) {
	rows, wide := t.rows, t.cols
	if m == 1 {
		wide = t.rowCols
	}
	cols = min(wide, n)
	if cols < wide && t.narrow > 0 {
		rows, cols = t.narrowRows, min(t.narrow, n)
	}
	return (m + rows - 1) / rows, cols
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

// tileKernel sets c to from plus the product of a small block: at most rows by cols, any depth. With one row cols may be up to rowCols. from is c, or rows of
// which none lies in c. What is left of cols at the end is, where narrow is not 0, done in tiles of at most narrowRows by narrow.
type tileKernel struct {
	rows, cols, rowCols int
	narrow, narrowRows  int
	// along does what add does for each of some stretches of k. It is nil for words.
	along func(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, s stretches, f fetch)
	add   func(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, f fetch)
}

// stretches are how many stretches of k a tile goes through, and how far a and b move on after the end of each to the start of the next, which may be back.
type stretches struct{ times, a, b int }

// portableAlong goes through the stretches one by one.
func portableAlong(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, s stretches, f fetch) {
	stretchwise(portableTile, m, n, k, a, ars, acs, b, ldb, c, ldc, from, ldf, s, f)
}

// stretchwise goes through the stretches with a tile that takes one.
func stretchwise(add func(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, f fetch),
	m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, s stretches, f fetch,
) {
	for i := range s.times {
		add(m, n, k, a[i*(k*acs+s.a):], ars, acs, b[i*(k*ldb+s.b):], ldb, c, ldc, from, ldf, f)
		from, ldf = c, ldc
	}
}

// portableTile keeps 2 by 4 sums in registers, which is what the compiler manages without spilling.
func portableTile(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, from []float32, ldf int, _ fetch) {
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
