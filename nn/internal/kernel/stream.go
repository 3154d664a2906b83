package kernel

import "unsafe"

// streamedRows is how many rows of a direct convolution are computed before they are streamed: as many as the processor holds back while it computes the next.
const streamedRows = 28

// Stream tells whether the next forward passes write their outputs past the caches, where nothing is pooled nor added. That is for outputs that the caches do not
// hold until they are read: a line that is written as a whole need not be read before.
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

// write copies outputs to their place. Where they are streamed, endStream must follow before others read them.
func (c *Conv) write(dst, src []float32) {
	if c.stream {
		loops.stream(dst, src)
	} else {
		copy(dst, src)
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

// streamed copies src to dst with a function for some vectors, of which some make a line.
func streamed(dst, src []float32, perLine int, vectors func(dst, src *float32, vectors int)) {
	dst = dst[:len(src)]
	if len(src) == 0 {
		return
	}
	before := min(len(src), (line-int(uintptr(unsafe.Pointer(&dst[0]))/4%line))%line)
	copy(dst[:before], src)
	dst, src = dst[before:], src[before:]
	if lines := len(src) / line; lines > 0 {
		vectors(&dst[0], &src[0], perLine*lines)
		dst, src = dst[line*lines:], src[line*lines:]
	}
	copy(dst, src)
}
