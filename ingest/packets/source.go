package packets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// turn is the cloud of one turn of a sensor and its start time.
type turn struct {
	cloud *ingest.PointCloud
	time  time.Time
}

// decoder decodes the packets of one sensor into turns.
type decoder interface {
	// add decodes a packet. An error concerns only that packet, unless it is a *fatalError.
	add(p packet) (*turn, error)
	// rest returns the incomplete turn, or nil if there is none.
	rest() *turn
	sensor() string
	counts() Counts
}

// fatalError is a decoder error that concerns all following packets.
type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

// recording returns packets one by one; ok is false at the end.
type recording interface {
	next() (p packet, ok bool, err error)
	close() error
}

func (c *capture) close() error { return nil }

// source streams the turns of a recording.
type source struct {
	stream string
	rec    recording
	dec    decoder
	seq    uint64
	ended  bool
	motion *motion // nil if the sensor is stationary

	repeats repeats
}

// maxBadPackets is the number of undecodable packets that are skipped before the reader gives up.
const maxBadPackets = 1000

func (s *source) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	for bad := 0; !s.ended; {
		p, ok, err := s.rec.next()
		if err != nil {
			s.ended = true
			return ingest.Sample{}, s.item(err)
		}
		if !ok {
			s.ended = true
			break
		}
		if s.repeats.again(p.data) {
			continue
		}
		t, err := s.dec.add(p)
		if err != nil {
			if _, fatal := errors.AsType[*fatalError](err); fatal {
				s.ended = true
				return ingest.Sample{}, s.item(err)
			}
			if bad++; bad == maxBadPackets {
				s.ended = true
				return ingest.Sample{}, s.item(fmt.Errorf("%d packets in a row: %w", bad, err))
			}
			continue
		}
		if t != nil {
			return s.sample(t)
		}
	}
	if t := s.dec.rest(); t != nil {
		return s.sample(t)
	}
	return ingest.Sample{}, io.EOF
}

func (s *source) sample(t *turn) (ingest.Sample, error) {
	if s.motion != nil && t.cloud.Len() == 0 {
		return ingest.Sample{}, s.item(fmt.Errorf("turn of %s: no pose, poses cover %s",
			t.time.Format(time.RFC3339Nano), s.motion.covers()))
	}
	s.seq++
	return ingest.Sample{
		ID: record.ID{Stream: s.stream, Seq: s.seq - 1}, Time: t.time, Label: ingest.NoLabel,
		Data: t.cloud,
	}, nil
}

func (s *source) item(err error) error {
	s.seq++
	return &ingest.ItemError{ID: record.ID{Stream: s.stream, Seq: s.seq - 1}, Err: err}
}

func (s *source) Close() error {
	s.ended = true
	return s.rec.close()
}

// measure reads a whole recording and counts its packets.
func measure(ctx context.Context, rec recording, dec decoder) (d *ingest.Packets, err error) {
	defer func() { err = errors.Join(err, rec.close()) }()
	out := &ingest.Packets{}
	var first error
	var again repeats
	begin := func(t *turn) {
		if t == nil {
			return
		}
		if out.Frames == 0 && !t.time.IsZero() {
			begun := t.time
			out.Time = &begun
		}
		out.Frames++
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, ok, err := rec.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if again.again(p.data) {
			continue
		}
		t, err := dec.add(p)
		if _, fatal := errors.AsType[*fatalError](err); fatal {
			return nil, err
		}
		if err != nil && first == nil {
			first = err
		}
		begin(t)
	}
	begin(dec.rest())
	out.Sensor = dec.sensor()
	c := dec.counts()
	out.Packets, out.Returns, out.Lost, out.Repeated = c.Packets, c.Returns, c.Lost, again.count
	if out.Packets == 0 {
		if first == nil {
			first = errors.New("found no packet of a supported sensor")
		}
		return nil, first
	}
	return out, nil
}
