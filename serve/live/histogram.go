package live

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// parts of an octave, and buckets of a histogram: durations from 1 microsecond to 2^26 of them, a minute.
const (
	perOctave = 8
	octaves   = 26
	buckets   = octaves*perOctave + 1
)

// histogram counts durations in buckets that are at most an eighth wide. It is safe for concurrent use.
type histogram [buckets]atomic.Uint32

// bucketOf returns the bucket of a duration: linear within an octave.
func bucketOf(d time.Duration) int {
	us := max(d.Microseconds(), 0)
	if us < perOctave {
		return int(us)
	}
	octave := bits.Len64(uint64(us)) - 1 // at least 3
	within := int(us>>(octave-3)) & (perOctave - 1)
	return min((octave-2)*perOctave+within, buckets-1)
}

// lower returns the smallest duration of a bucket in microseconds.
func lower(bucket int) float64 {
	if bucket < perOctave {
		return float64(bucket)
	}
	octave, within := bucket/perOctave+2, bucket%perOctave
	return math.Ldexp(1+float64(within)/perOctave, octave)
}

// add counts n values that took d.
func (h *histogram) add(d time.Duration, n int) {
	h[bucketOf(d)].Add(uint32(max(n, 0))) // a batch is small
}

func (h *histogram) reset() {
	for i := range h {
		h[i].Store(0)
	}
}

func (h *histogram) addTo(sum *[buckets]uint64) {
	for i := range h {
		sum[i] += uint64(h[i].Load())
	}
}

// quantile returns a quantile in milliseconds: the middle of its bucket. It is 0 if nothing was counted.
func quantile(sum *[buckets]uint64, q float64) float64 {
	total := uint64(0)
	for _, n := range sum {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(total)))
	seen := uint64(0)
	for i, n := range sum {
		if seen += n; seen >= rank {
			return (lower(i) + lower(i+1)) / 2 / 1000
		}
	}
	return 0
}
