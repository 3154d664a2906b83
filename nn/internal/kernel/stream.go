package kernel

import "unsafe"

// streamedRows is how many rows of a direct convolution are computed before they are streamed: as many as the
// processor holds back while it computes the next.
const streamedRows = 28

// Stream reports whether the next forward passes write their outputs past the caches, where nothing is pooled nor
// added. That is for outputs that the caches do not hold until they are read: a line that is written as a whole
// need not be read before.
func (c *Conv) Stream(past bool) {
	c.stream = past && loops.stream != nil && c.size == 1 && !c.Accumulate
	c.whole.stream = c.stream
}

// SampleLen is the length of what Forward writes to for a sample: of a phase, that of the whole gradient.
func (c *Conv) SampleLen() int {
	if c.spots != nil {
		return c.sampleLen
	}
	return c.windows * c.OutC
}

// write copies rows of n outputs to their places, the first of which is that of dst and each other one apart from
// that before. Where they are streamed, endStream must follow before others read them.
func (c *Conv) write(dst, src []float32, n, apart int) {
	if c.stream {
		loops.stream(dst, src, n, apart)
		return
	}
	for len(src) > 0 {
		copy(dst[:n], src)
		if src = src[n:]; len(src) > 0 {
			dst = dst[apart:]
		}
	}
}

// endStream makes what was streamed visible to other threads.
func (c *Conv) endStream() {
	if c.stream {
		loops.fence()
	}
}

// line is the length of a line of the cache. Part of one is not streamed: it would have to be read after all.
const line = 16

// streamed is write, with a function for rows of some vectors, of which some make a line.
func streamed(dst, src []float32, n, apart, perLine int, rows func(dst, src *float32, vectors, rows, gap int)) {
	if len(src) == 0 {
		return
	}
	count := len(src) / n
	_ = dst[(count-1)*apart+n-1]
	before := (line - int(uintptr(unsafe.Pointer(&dst[0]))/4%line)) % line
	if before == 0 && n%line == 0 && apart%line == 0 {
		rows(&dst[0], &src[0], perLine*n/line, count, 4*(apart-n))
		return
	}
	for i := range count {
		to, from := dst[i*apart:][:n], src[i*n:][:n]
		before := min(n, (line-int(uintptr(unsafe.Pointer(&to[0]))/4%line))%line)
		copy(to[:before], from)
		to, from = to[before:], from[before:]
		if lines := len(from) / line; lines > 0 {
			rows(&to[0], &from[0], perLine*lines, 1, 0)
			to, from = to[line*lines:], from[line*lines:]
		}
		copy(to, from)
	}
}
