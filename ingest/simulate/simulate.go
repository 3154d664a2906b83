// Package simulate sends the packets of simulated lidars: recordings at their original speed, or synthetic scenes
// in which every return is known.
package simulate

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	"github.com/voxelstream/voxelstream/ingest/packets"
)

// Packet is a datagram and its send time relative to the first.
type Packet struct {
	After time.Duration
	Data  []byte
}

// Stats counts what Play sent.
type Stats struct {
	Packets int   `json:"packets"`
	Bytes   int64 `json:"bytes"`
	// Late is the largest delay of a packet relative to its send time.
	Late time.Duration `json:"late_ns"`
}

// Play writes packets to w, each as one Write, at their times divided by rate. It returns after the last packet, or
// when ctx is cancelled, which is not an error. A late packet is sent immediately: like a sensor, the sender never
// waits for the receiver.
func Play(ctx context.Context, w io.Writer, ps iter.Seq2[Packet, error], rate float64) (s Stats, err error) {
	if !(rate > 0) {
		return s, fmt.Errorf("rate: found %g, want a number above 0", rate)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	begin := time.Now()
	for p, err := range ps {
		if err != nil {
			return s, err
		}
		due := begin.Add(time.Duration(float64(p.After) / rate))
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return s, nil
			}
		} else if ctx.Err() != nil {
			return s, nil
		}
		s.Late = max(s.Late, time.Since(due))
		if _, err := w.Write(p.Data); err != nil {
			return s, err
		}
		s.Packets++
		s.Bytes += int64(len(p.Data))
	}
	return s, nil
}

// Recorded returns the packets of a recording in time order. With loop it repeats them endlessly, with one mean gap
// between the end and the start. Packets without times, as in raw files, are gap apart.
func Recorded(records iter.Seq2[packets.Record, error], loop bool, gap time.Duration) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		var base time.Duration
		for {
			var first time.Time
			after, n := base, 0
			for r, err := range records {
				if err != nil {
					yield(Packet{}, err)
					return
				}
				switch {
				case r.Time.IsZero():
					if n > 0 {
						after += gap
					}
				case n == 0:
					first = r.Time
				default:
					after = max(after, base+r.Time.Sub(first)) // a clock that was set back must not delay the rest
				}
				n++
				if !yield(Packet{after, r.Data}, nil) {
					return
				}
			}
			if !loop || n == 0 {
				return
			}
			if n > 1 && !first.IsZero() {
				gap = (after - base) / time.Duration(n-1)
			}
			base = after + gap
		}
	}
}

// Take limits packets to a duration; 0 means no limit.
func Take(ps iter.Seq2[Packet, error], length time.Duration) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		for p, err := range ps {
			if length > 0 && err == nil && p.After >= length || !yield(p, err) {
				return
			}
		}
	}
}

// reflectivity returns the byte of a return: 100 for a white surface, more for those that reflect back.
func reflectivity(h Hit) byte { return byte(math.Round(100 * min(max(h.Reflectivity, 0), 1))) }
