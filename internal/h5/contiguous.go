//go:build cgo && !nohdf5

package h5

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// pieceBytes is how much of a contiguous dataset is read at once: it stays in the processor's cache until it is
// converted.
const pieceBytes = 256 << 10

// contiguous reads a part of a contiguous dataset into dst, on all processors.
func (s *server) contiguous(d *openDataset, part span, as form, dst []byte) error {
	f := d.facts
	size, n := int(f.size), part.count*part.rowLen
	start := int64(f.offset) + int64(part.first)*int64(part.rowLen)*int64(size)
	step := max(1, pieceBytes/size)
	parallel := min(runtime.GOMAXPROCS(0), (n+step-1)/step)
	idle := s.idle(parallel)
	var next atomic.Int64
	var work sync.WaitGroup
	var failed failures
	for range parallel {
		work.Go(func() {
			u := <-idle
			for !failed.any() {
				at := int(next.Add(int64(step))) - step
				if at >= n {
					return
				}
				k := min(step, n-at)
				to := dst[at*as.size(f) : (at+k)*as.size(f)]
				values := to
				if as == narrowed {
					u.chunk = resize(u.chunk, k*size)
					values = u.chunk
				}
				from := start + int64(at)*int64(size)
				if _, err := s.plain.ReadAt(values, from); err != nil {
					failed.add(at, fmt.Errorf("values at byte %d of the file: %w", from, err))
				} else if as == narrowed && narrow(to, values) {
					failed.add(at, errRange)
				}
			}
		})
	}
	work.Wait()
	return failed.first()
}
