package pipeline

import "time"

// Batch sets when a batch is complete: when it has Size values, or when its first value has waited for Linger. While
// the next stage is busy, a batch keeps filling, so a short linger costs no throughput under load.
type Batch struct {
	// Size is the maximum number of values in a batch. The default is 1.
	Size int
	// Linger is how long the first value of a batch waits for others. 0 means not at all.
	Linger time.Duration
}

// gather groups values into batches until in is closed, then closes out. The last batch may be short.
func gather[T any](b Batch, in <-chan T, out chan<- []T) {
	defer close(out)
	size := max(b.Size, 1)
	var batch []T
	timer := time.NewTimer(b.Linger)
	timer.Stop()
	due := false
	for in != nil || len(batch) > 0 {
		var more <-chan T
		var ready chan<- []T
		if len(batch) < size {
			more = in
		}
		if len(batch) > 0 && (due || in == nil || len(batch) == size) {
			ready = out
		}
		select {
		case v, ok := <-more:
			if !ok {
				in = nil
				continue
			}
			if batch = append(batch, v); len(batch) == 1 {
				due = b.Linger <= 0
				timer.Reset(b.Linger)
			}
		case <-timer.C:
			due = true
		case ready <- batch:
			batch, due = nil, false
			timer.Stop()
		}
	}
}
