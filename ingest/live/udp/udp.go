// Package udp receives the packets of a lidar from the network, as a stream of the clouds of its turns.
package udp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/packets"
	"github.com/voxelstream/voxelstream/record"
)

// Scheme begins the address of a sensor's packets: udp://HOST:PORT?sensor=NAME.
const Scheme = "udp://"

const (
	// maxDatagram is the largest UDP payload.
	maxDatagram = 65535
	// queue is how many turns wait for the reader; of a faster sensor the newest are dropped, and counted.
	queue = 8
	// silence ends a turn: the sensor stopped.
	silence = time.Second
	// firstWarnings is how many bad packets are logged one by one.
	firstWarnings = 3
)

// Options is where and what to receive.
type Options struct {
	// Address is HOST:PORT; without a host, packets to any address of this machine.
	Address string
	Sensor  packets.Sensor
	// Calibration is the path of the file that some sensors need.
	Calibration string
	// Buffer is the size of the kernel's receive buffer in bytes; at least 1. 32 MiB is a second or two of the fastest sensor.
	Buffer int
	// Duration ends the stream after so long; 0: it ends with the context.
	Duration time.Duration
	// Log gets warnings; nil: none.
	Log *slog.Logger
}

// Parse reads an address: udp://HOST:PORT?sensor=NAME, with calibration=FILE, buffer=BYTES and duration=TIME where wanted. The port may be left
// out where the sensor has a usual one.
func Parse(address string) (Options, error) {
	o := Options{Buffer: 32 << 20, Log: slog.New(slog.DiscardHandler)}
	u, err := url.Parse(address)
	if err != nil {
		return o, err
	}
	q := u.Query()
	if o.Sensor, err = packets.FindSensor(q.Get("sensor")); err != nil {
		return o, fmt.Errorf("%s: %w", address, err)
	}
	for key := range q {
		v := q.Get(key)
		var err error
		switch key {
		case "sensor":
		case "calibration":
			o.Calibration = v
		case "buffer":
			if o.Buffer, err = strconv.Atoi(v); err != nil || o.Buffer < 1 || o.Buffer > 1<<30 {
				err = fmt.Errorf("buffer: found %q, want bytes, 1 to %d", v, 1<<30)
			}
		case "duration":
			if o.Duration, err = time.ParseDuration(v); err != nil || o.Duration <= 0 {
				err = fmt.Errorf("duration: found %q, want such as 10s", v)
			}
		default:
			err = fmt.Errorf("found %q, want sensor, calibration, buffer or duration", key)
		}
		if err != nil {
			return o, fmt.Errorf("%s: %w", address, err)
		}
	}
	if u.Scheme+"://" != Scheme || u.Path != "" && u.Path != "/" {
		return o, fmt.Errorf("%s: want %sHOST:PORT?sensor=NAME", address, Scheme)
	}
	o.Address = u.Host
	if u.Port() == "" {
		o.Address = net.JoinHostPort(strings.TrimSuffix(u.Hostname(), ":"), strconv.Itoa(o.Sensor.Port))
	}
	return o, nil
}

// Stats counts what a source saw.
type Stats struct {
	packets.Counts
	// Repeated packets came twice, Foreign ones are of another kind, Bad ones damaged.
	Repeated, Foreign, Bad int
	// Dropped packets came while the kernel's buffer was full. Only Linux tells; elsewhere it is 0.
	Dropped uint64
	// Turns were given to the reader; Missed ones were complete when the reader was too far behind.
	Turns, Missed uint64
}

// Source is a live sensor. Its stream is named after the port and when it was opened: what comes later is never the same again.
type Source struct {
	o      Options
	conn   *net.UDPConn
	dec    *packets.Decoder
	stream string
	seq    uint64
	turns  chan *packets.Turn
	failed error // set before turns is closed
	done   sync.WaitGroup

	bad           int
	missed, given atomic.Uint64
	stats         atomic.Pointer[Stats]
}

var _ ingest.Source = (*Source)(nil)

// Open begins to receive.
func Open(ctx context.Context, o Options) (*Source, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dec, err := o.Sensor.NewDecoder(o.Calibration)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", o.Address)
	if err != nil {
		return nil, err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("found a %T, want a UDP socket", pc), pc.Close())
	}
	if err := size(conn, o.Buffer, o.Log); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &Source{
		o: o, conn: conn, dec: dec, turns: make(chan *packets.Turn, queue),
		stream: fmt.Sprintf("%s-%d-%s", o.Sensor.Name, conn.LocalAddr().(*net.UDPAddr).Port, time.Now().UTC().Format("20060102T150405.000000Z")),
	}
	s.stats.Store(&Stats{})
	s.done.Go(s.receive)
	return s, nil
}

// Addr is where the source listens.
func (s *Source) Addr() string { return s.conn.LocalAddr().String() }

// Stats is what came so far.
func (s *Source) Stats() Stats {
	out := *s.stats.Load()
	out.Turns, out.Missed = s.given.Load(), s.missed.Load()
	return out
}

// receive reads the socket as fast as packets come, whatever the reader does.
func (s *Source) receive() {
	defer close(s.turns)
	var end time.Time
	if s.o.Duration > 0 {
		end = time.Now().Add(s.o.Duration)
	}
	buf, control := make([]byte, maxDatagram), make([]byte, 64)
	var dropped uint64
	for {
		deadline := time.Now().Add(silence)
		if !end.IsZero() && end.Before(deadline) {
			deadline = end
		}
		err := s.conn.SetReadDeadline(deadline)
		var n, nc int
		if err == nil {
			n, nc, _, _, err = s.conn.ReadMsgUDPAddrPort(buf, control)
		}
		now := time.Now()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.offer(s.dec.Rest())
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.failed = err
			return
		default:
			if d := overflow(control[:nc]); d > 0 {
				dropped = d
			}
			s.take(now.UTC(), buf[:n])
		}
		s.count(dropped)
		if !end.IsZero() && !now.Before(end) {
			s.offer(s.dec.Rest())
			s.count(dropped)
			return
		}
	}
}

func (s *Source) take(at time.Time, b []byte) {
	turn, err := s.dec.Add(at, b)
	if err != nil {
		if s.bad++; s.bad <= firstWarnings {
			s.o.Log.Warn("left out a packet", "stream", s.stream, "error", err)
		}
	}
	s.offer(turn)
}

// offer gives a turn to the reader, if there is room. A whole turn that is missing does less harm than one with holes.
func (s *Source) offer(t *packets.Turn) {
	if t == nil {
		return
	}
	select {
	case s.turns <- t:
	default:
		if s.missed.Add(1) == 1 {
			s.o.Log.Warn("the reader is too slow for the sensor: turns are left out", "stream", s.stream)
		}
	}
}

func (s *Source) count(dropped uint64) {
	c, repeated, foreign := s.dec.Counts()
	s.stats.Store(&Stats{Counts: c, Repeated: repeated, Foreign: foreign, Bad: s.bad, Dropped: dropped})
}

// Read returns the next turn; io.EOF after Options.Duration, or once the source is closed.
func (s *Source) Read(ctx context.Context) (ingest.Sample, error) {
	select {
	case t, ok := <-s.turns:
		if !ok {
			if s.failed != nil {
				return ingest.Sample{}, s.failed
			}
			return ingest.Sample{}, io.EOF
		}
		s.seq++
		s.given.Add(1)
		return ingest.Sample{ID: record.ID{Stream: s.stream, Seq: s.seq - 1}, Time: t.Began, Label: ingest.NoLabel, Data: t.Cloud}, nil
	case <-ctx.Done():
		return ingest.Sample{}, ctx.Err()
	}
}

// Close stops receiving, and says what was lost.
func (s *Source) Close() error {
	err := s.conn.Close()
	s.done.Wait()
	st := s.Stats()
	level := slog.LevelInfo
	if st.Dropped > 0 || st.Lost > 0 || st.Missed > 0 || st.Bad > 0 {
		level = slog.LevelWarn
	}
	s.o.Log.Log(context.Background(), level, "sensor closed", "stream", s.stream, "packets", st.Packets, "turns", st.Turns, "lost", st.Lost, "repeated",
		st.Repeated, "dropped by the kernel", st.Dropped, "bad", st.Bad, "of another kind", st.Foreign, "turns left out", st.Missed)
	return err
}

// size asks the kernel for a receive buffer, and says how to get it where the kernel gives less.
func size(conn *net.UDPConn, want int, log *slog.Logger) error {
	if err := conn.SetReadBuffer(want); err != nil {
		return fmt.Errorf("receive buffer of %d bytes: %w", want, err)
	}
	got, err := prepare(conn, want)
	if err == nil && got > 0 && got < want {
		log.Warn("the kernel gives a smaller receive buffer; packets may be dropped", "want", want, "got", got,
			"remedy", fmt.Sprintf("sysctl -w net.core.rmem_max=%d", want))
	}
	return err
}
