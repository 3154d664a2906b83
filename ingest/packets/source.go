package packets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// sweep is the cloud of one sweep of a sensor and its start time.
type sweep struct {
	cloud *ingest.PointCloud
	time  time.Time
}

// decoder decodes the packets of one sensor into sweeps.
type decoder interface {
	// add decodes a packet. An error concerns only that packet, unless it is a *fatalError.
	add(p packet) (*sweep, error)
	// rest returns the incomplete sweep, or nil if there is none.
	rest() *sweep
	sensor() string
	counts() Counts
}

// fatalError is a decoder error that concerns all following packets.
type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

// recording returns packets one by one; ok is false at the end.
type recording interface {
	next(ctx context.Context) (p packet, ok bool, err error)
	close() error
}

// track is a sensor or a topic of a recording, which is read as a stream of its own.
type track struct {
	name   string // source address and destination port, or topic; empty if the recording has only one
	model  string // of the sensor, or the topic's message type
	port   uint16
	clouds bool // messages are whole clouds
	count  int  // packets or messages; -1 if unknown
	begin  func() (decoder, func(packet) bool, error)

	dec     decoder
	fits    func(packet) bool
	stream  string
	seq     uint64
	repeats repeats
	bad     int   // packets that cannot be decoded, and how many of them in a row
	row     int   //
	first   error // of those packets
	ended   bool
	frames  int
	began   time.Time // of the first sweep
}

// String describes the track in errors and notes.
func (t *track) String() string {
	if t.count < 0 {
		return fmt.Sprintf("%s (%s)", t.name, t.model)
	}
	return fmt.Sprintf("%s (%s, %s)", t.name, t.model, ingest.Plural(t.count, t.unit()))
}

func (t *track) unit() string {
	if strings.HasPrefix(t.name, "/") || t.clouds {
		return "message"
	}
	return "packet"
}

// some is how many things of a kind a message lists.
const some = 20

func list[T any](items []T) string {
	var names []string
	for _, item := range items[:min(len(items), some)] {
		names = append(names, fmt.Sprint(item))
	}
	if len(items) > some {
		names = append(names, fmt.Sprintf("and %d more", len(items)-some))
	}
	return strings.Join(names, ", ")
}

// choose returns the tracks that the options choose. Without a choice these are all that carry packets or, if none
// does, all clouds; they are returned a second time, because they determine the names of streams.
func choose(all []*track, o ingest.Options) (chosen, usual []*track, err error) {
	opt := optionsOf(o)
	usual = slices.DeleteFunc(slices.Clone(all), func(t *track) bool { return t.clouds })
	if len(usual) == 0 {
		usual = all
	}
	if opt.Topic == "" && opt.Sensor == "" && opt.Port == 0 {
		if len(usual) < len(all) {
			o.Note("packets are read, clouds are left out: %s; --topic chooses",
				list(slices.DeleteFunc(slices.Clone(all), func(t *track) bool { return !t.clouds })))
		}
		return usual, usual, nil
	}
	var flags []string
	for _, f := range []struct {
		name, value string
		fits        func(t *track) bool
	}{
		{"topic", opt.Topic, func(t *track) bool { return strings.Trim(t.name, "/") == strings.Trim(opt.Topic, "/") }},
		{"sensor", opt.Sensor, func(t *track) bool { return t.is(opt.Sensor) }},
		{"port", fmt.Sprint(opt.Port), func(t *track) bool { return int(t.port) == opt.Port }},
	} {
		if f.value == "" || f.value == "0" {
			continue
		}
		flags = append(flags, "--"+f.name+" "+f.value)
		all = slices.DeleteFunc(slices.Clone(all), func(t *track) bool { return !f.fits(t) })
	}
	if len(all) == 0 {
		return nil, nil, errors.New(strings.Join(flags, " ") + ": found no such source")
	}
	return all, usual, nil
}

// is reports whether a person means the track by that name: its own, its address, or its model.
func (t *track) is(name string) bool {
	plain := func(s string) string {
		return strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(s))
	}
	if strings.Trim(t.name, "/") == strings.Trim(name, "/") || strings.HasPrefix(t.name, name+":") ||
		strings.HasPrefix(t.name, "["+name+"]") {
		return true
	}
	n := plain(name)
	return n != "" && strings.Contains(plain(t.model), n)
}

// opened is a recording and its tracks, of which all have decoders.
type opened struct {
	recording
	tracks []*track
}

// maxTracks limits the sensors and topics that are read together.
const maxTracks = 1024

// start chooses tracks and creates their decoders. A track whose decoder cannot be created is left out with a note,
// unless it is the only one.
func start(all []*track, o ingest.Options) ([]*track, error) {
	chosen, usual, err := choose(all, o)
	if err != nil {
		return nil, fmt.Errorf("%w; the recording has %s", err, list(all))
	}
	if len(chosen) > maxTracks {
		return nil, fmt.Errorf("found %d sources, limit %d: choose with --topic, --sensor or --port; the recording has %s",
			len(chosen), maxTracks, list(all))
	}
	var errs []error
	tracks := slices.DeleteFunc(slices.Clone(chosen), func(t *track) bool {
		var err error
		if t.dec, t.fits, err = t.begin(); err == nil {
			return false
		}
		if t.name != "" {
			err = fmt.Errorf("%s: %w", t, err)
		}
		errs = append(errs, err)
		return true
	})
	if len(tracks) == 0 {
		return nil, errors.Join(errs...)
	}
	for _, err := range errs {
		o.Note("left out %v", err)
	}
	names := map[string]bool{}
	for _, t := range tracks {
		if len(usual) == 1 && t == usual[0] {
			continue // the name of the recording is enough
		}
		name := strings.TrimPrefix(t.name, "/")
		t.stream = ingest.StreamPart("", name)
		for i := 2; names[t.stream]; i++ {
			t.stream = ingest.NumberedPart("", name, i)
		}
		names[t.stream] = true
	}
	return tracks, nil
}

// source streams the sweeps of a recording, of all tracks in the order in which they end.
type source struct {
	opened
	o       ingest.Options
	sweeps  int
	items   int // failed ones
	at      int // number of tracks whose rest was returned
	ended   bool
	motion  *motion // nil if the sensor is stationary
	stopped bool    // at the end of the recording
}

// maxBadPackets is the number of undecodable packets of a track that are skipped before the reader gives up.
const maxBadPackets = 1000

// step returns the next sweep and its track, or io.EOF. An error with a track concerns one item of it.
func (s *source) step(ctx context.Context) (*track, *sweep, error) {
	for !s.stopped {
		p, ok, err := s.next(ctx)
		if err != nil {
			s.stopped = true
			return s.tracks[0], nil, err
		}
		if !ok {
			s.stopped = true
			break
		}
		if p.track < 0 {
			continue
		}
		t := s.tracks[p.track]
		if t.ended || p.err == nil && (!t.fits(p) || t.repeats.again(p.data)) {
			continue
		}
		done, err := (*sweep)(nil), p.err
		if err == nil {
			done, err = t.dec.add(p)
		}
		if err != nil {
			if err = t.failed(err); err != nil {
				return t, nil, err
			}
			continue
		}
		t.row = 0
		if done != nil {
			return t, s.take(t, done), nil
		}
	}
	for s.at < len(s.tracks) {
		t := s.tracks[s.at]
		s.at++
		if done := t.dec.rest(); done != nil {
			return t, s.take(t, done), nil
		}
	}
	return nil, nil, io.EOF
}

func (s *source) take(t *track, done *sweep) *sweep {
	if t.frames == 0 {
		t.began = done.time
	}
	t.frames++
	s.sweeps++
	return done
}

// failed counts a packet that cannot be decoded. It returns the error if it is worth an item: of a cloud, or of a
// sensor that is given up.
func (t *track) failed(err error) error {
	t.bad++
	t.row++
	if t.first == nil {
		t.first = err
	}
	if _, fatal := errors.AsType[*fatalError](err); fatal {
		t.ended = true
		return err
	}
	if t.row == maxBadPackets {
		t.ended = true
		return fmt.Errorf("%d packets in a row: %w", t.row, err)
	}
	if t.clouds {
		return err
	}
	return nil
}

// empty returns the reason why a recording gave no sweep.
func (s *source) empty() error {
	for _, t := range s.tracks {
		if t.first != nil {
			return t.first
		}
	}
	return errors.New("found no packet of a supported sensor")
}

// remarks notes what could not be decoded.
func (s *source) remarks(clouds bool) {
	for _, t := range s.tracks {
		if t.bad > 0 && s.sweeps > 0 && (clouds || !t.clouds) {
			s.o.Note("%s: %s cannot be decoded: %v", t.label(), ingest.Plural(t.bad, t.unit()), t.first)
		}
	}
}

func (t *track) label() string {
	if t.name == "" {
		return t.dec.sensor()
	}
	return t.name
}

func (s *source) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	if s.ended {
		return ingest.Sample{}, io.EOF
	}
	t, done, err := s.step(ctx)
	switch {
	case errors.Is(err, io.EOF):
		s.ended = true
		s.remarks(false)
		if s.sweeps == 0 && s.items == 0 {
			return ingest.Sample{}, s.item(s.tracks[0], s.empty())
		}
		return ingest.Sample{}, io.EOF
	case err != nil:
		return ingest.Sample{}, s.item(t, err)
	}
	if s.motion != nil && done.cloud.Len() == 0 {
		return ingest.Sample{}, s.item(t, fmt.Errorf("sweep of %s: no pose, poses cover %s",
			done.time.Format(time.RFC3339Nano), s.motion.covers()))
	}
	t.seq++
	return ingest.Sample{
		ID: record.ID{Stream: t.stream, Seq: t.seq - 1}, Time: done.time, Label: ingest.NoLabel,
		Data: done.cloud,
	}, nil
}

func (s *source) item(t *track, err error) error {
	s.items++
	t.seq++
	return &ingest.ItemError{ID: record.ID{Stream: t.stream, Seq: t.seq - 1}, Err: err}
}

func (s *source) Close() error {
	s.ended = true
	return s.close()
}

// measure reads a whole recording and counts its packets.
func measure(ctx context.Context, r opened, o ingest.Options) (_ *ingest.Packets, err error) {
	defer func() { err = errors.Join(err, r.close()) }()
	s := &source{opened: r, o: o}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, _, err := s.step(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && t.first == nil {
			t.first = err
		}
	}
	out := &ingest.Packets{}
	for _, t := range s.tracks {
		c := t.dec.counts()
		if c.Packets == 0 {
			continue
		}
		one := ingest.PacketSource{
			Name: t.name, Sensor: t.dec.sensor(), Packets: c.Packets, Frames: t.frames, Returns: c.Returns, Lost: c.Lost,
			Repeated: t.repeats.count,
		}
		if began := t.began; !began.IsZero() {
			one.Time = &began
		}
		out.Add(one)
	}
	if out.Packets == 0 {
		return nil, s.empty()
	}
	s.remarks(true)
	return out, nil
}
