package kernel

import "unsafe"

// streamedRows is how many rows of outputs are computed before they are streamed: as many as the processor holds back while it computes the next.
const streamedRows = 28

// Stream makes the forward pass write its outputs past the caches, where nothing is pooled nor added. It is for outputs that the caches cannot hold until they
// are read: a line that is written as a whole need not be read before, which is worth a third of the time of a layer that is bound by memory.
func (c *Conv) Stream() {
	c.stream = loops.stream != nil && c.size == 1 && !c.Accumulate
	c.whole.stream = c.stream
}

// SampleLen is the distance of the outputs of two samples.
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

// streamed copies src to dst with a function for whole vectors, which lie on multiples of some bytes.
func streamed(dst, src []float32, bytes int, vectors func(dst, src *float32, vectors int)) {
	dst = dst[:len(src)]
	if len(src) == 0 {
		return
	}
	lanes, at := bytes/4, int(uintptr(unsafe.Pointer(&dst[0]))/4)
	before := min(len(src), (lanes-at%lanes)%lanes)
	copy(dst[:before], src)
	dst, src = dst[before:], src[before:]
	if n := len(src) / lanes; n > 0 {
		vectors(&dst[0], &src[0], n)
		dst, src = dst[n*lanes:], src[n*lanes:]
	}
	copy(dst, src)
}
