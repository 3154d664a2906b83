// Package udp receives the packets of a lidar from the network, as a stream of clouds, one for each sweep.
package udp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/ingest/packets"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/record"
)

const (
	// maxDatagram is the largest UDP payload.
	maxDatagram = 65535
	// queue is how many sweeps wait for the reader; of a faster sensor the newest are dropped, and counted.
	queue = 8
	// silence ends a sweep: the sensor stopped.
	silence = time.Second
	// firstWarnings is how many bad packets are logged one by one.
	firstWarnings = 3
	// alien is how many packets of another kind a sender may begin with before a warning.
	alien = 10
	// unheard is the time without a packet after which a warning says what to check.
	unheard = 10 * time.Second
)

// Kind is that of the packets of a lidar.
var Kind = live.Kind{
	Name: "udp", Scheme: "udp", Form: "udp://HOST:PORT?sensor=NAME", Example: "udp://:2368?sensor=vlp16",
	Doc: "Receives the packets of a lidar. Each sweep of the sensor is one sample. Without a host, packets to any " +
		"address of this machine are received; without a port, the usual one of the sensor is used.",
	Options: func() any {
		o := DefaultOptions()
		return &o
	},
	New: newInput,
}

// Options are those of an address.
type Options struct {
	Sensor      packets.Sensor `yaml:"sensor" doc:"Model of the sensor."`
	Calibration string         `yaml:"calibration" doc:"Calibration file of the sensor. An Ouster requires its metadata; a PandarQT64 or Helios-16P requires its table of angles."`
	Buffer      option.Bytes   `yaml:"buffer" unit:"B" min:"1B" max:"1GiB" doc:"Size of the socket's receive buffer."`
	From        netip.Addr     `yaml:"from" doc:"Address of the sensor. Packets of others are ignored. By default, each sender is a stream of its own."`
	Duration    time.Duration  `yaml:"duration" above:"0s" doc:"End the stream after this time. By default, it runs until the program is stopped."`
}

// Input is a parsed address.
type Input struct {
	// Address is HOST:PORT; the host may be empty.
	Address string
	Options
}

// DefaultOptions has a buffer for a second or two of the fastest sensor.
func DefaultOptions() Options { return Options{Buffer: 32 << 20} }

// Parse reads an address. The sensor may be missing, and with it the port.
func Parse(address string) (*Input, error) {
	o := DefaultOptions()
	rest, ok := strings.CutPrefix(address, "udp://")
	if !ok {
		return nil, errors.New("want udp://HOST:PORT")
	}
	target, query, _ := strings.Cut(rest, "?")
	if err := option.FromQuery(&o, query); err != nil {
		return nil, err
	}
	return parseTarget(target, o)
}

func parseTarget(target string, o Options) (*Input, error) {
	u, err := url.Parse("udp://" + target)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address
		}
		return nil, err
	}
	if u.Path != "" && u.Path != "/" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("found more than a host and a port, want udp://HOST:PORT")
	}
	in := &Input{Address: u.Host, Options: o}
	if u.Port() == "" && o.Sensor.Port > 0 {
		in.Address = net.JoinHostPort(u.Hostname(), strconv.Itoa(o.Sensor.Port))
	}
	return in, nil
}

func newInput(target string, options any) (live.Input, error) {
	in, err := parseTarget(target, *options.(*Options))
	switch s := options.(*Options).Sensor; {
	case s.Name == "":
		err = errors.Join(err, fmt.Errorf("sensor: found none, want one of %s", strings.Join(s.Choices(), ", ")))
	case options.(*Options).Calibration == "":
		err = errors.Join(err, s.CheckCalibration(""))
	}
	return in, err
}

var _ live.Opener = (*Input)(nil)

// Endless says that there is no duration.
func (in *Input) Endless() bool { return in.Duration == 0 }

// Open begins to receive.
func (in *Input) Open(ctx context.Context, s live.Services) (ingest.Source, error) {
	src, err := Open(ctx, in, s)
	if err != nil {
		return nil, err // not a nil *Source in an interface
	}
	s.Log.Info("listening", "address", src.Addr(), "sensor", in.Sensor.Name)
	return src, nil
}

// Stats counts what a source saw.
type Stats struct {
	packets.Counts
	// Repeated packets came twice, Foreign ones are of another kind, Bad ones damaged.
	Repeated, Foreign, Bad int
	// Dropped packets came while the kernel's buffer was full. Only Linux tells; elsewhere it is 0.
	Dropped uint64
	// Sweeps were given to the reader; Missed ones were complete when the reader was too far behind.
	Sweeps, Missed uint64
}

// Source is a live sensor, or several that send to the same port: each is a stream of its own, decoded by itself.
// The stream of the first is named after the port and when it was opened: what comes later is never the
// same again.
type Source struct {
	in       *Input
	log      *slog.Logger
	services live.Services
	conn     *net.UDPConn
	senders  map[netip.Addr]*sender
	known    []*sender // those that sent packets of the sensor, in the order of the first
	strange  int       // packets of other addresses than that of the options, or of too many
	aliens   int       // warnings about senders of packets of another kind
	heard    time.Time // when the last packet came, at first when the source was opened
	quiet    bool      // no packet came for a long time, and a warning said so
	stream   string
	sweeps   chan sweep
	failed   error // set before sweeps is closed
	done     sync.WaitGroup

	bad           int
	missed, given atomic.Uint64
	stats         atomic.Pointer[Stats]
}

// sender is a sensor at an address.
type sender struct {
	dec    *packets.Decoder
	stream string // empty before the first packet of the sensor
	seq    uint64 // of the reader
	alien  bool   // it was taken for a sensor of another kind
}

// sweep is a sweep of a sender.
type sweep struct {
	*packets.Sweep
	from *sender
}

// firstPause and maxPause bound the time until the socket is read again after an error that may pass.
const (
	firstPause = time.Millisecond
	maxPause   = time.Second
)

// maxSenders limits the addresses whose packets are told apart.
const maxSenders = 64

var _ ingest.Source = (*Source)(nil)

// Open begins to receive.
func Open(ctx context.Context, in *Input, services live.Services) (*Source, error) {
	// The calibration is read again for each sender; a wrong one is reported now.
	if _, err := in.Sensor.NewDecoder(in.Calibration); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", in.Address)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another process uses this port; stop it, or have the sensor send to another port", err)
	}
	if err != nil {
		return nil, err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("found a %T, want a UDP socket", pc), pc.Close())
	}
	if err := size(conn, int(in.Buffer), services.Log); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &Source{
		in: in, log: services.Log, services: services, conn: conn, sweeps: make(chan sweep, queue),
		senders: map[netip.Addr]*sender{}, heard: time.Now(),
		stream: fmt.Sprintf("%s-%d-%s", in.Sensor.Name, conn.LocalAddr().(*net.UDPAddr).Port,
			time.Now().UTC().Format("20060102T150405.000000Z")),
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
	out.Sweeps, out.Missed = s.given.Load(), s.missed.Load()
	return out
}

// receive reads the socket as fast as packets come, whatever the reader does.
func (s *Source) receive() {
	defer close(s.sweeps)
	var end time.Time
	if s.in.Duration > 0 {
		end = time.Now().Add(s.in.Duration)
	}
	buf, control := make([]byte, maxDatagram), make([]byte, 64)
	var dropped uint64
	for failures := 0; ; {
		deadline := time.Now().Add(silence)
		if !end.IsZero() && end.Before(deadline) {
			deadline = end
		}
		err := s.conn.SetReadDeadline(deadline)
		var n, nc int
		var from netip.AddrPort
		if err == nil {
			n, nc, _, from, err = s.conn.ReadMsgUDPAddrPort(buf, control)
		}
		now := time.Now()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.rest()
		case errors.Is(err, net.ErrClosed):
			return
		case transient.Is(err):
			failures++
			pause := transient.Pause(failures, firstPause, maxPause)
			s.log.Warn("packets cannot be received; it is tried again", "stream", s.stream, "failures", failures,
				"pause", pause.Round(time.Millisecond), "error", err)
			s.services.SetReady(err)
			time.Sleep(pause)
			continue
		case err != nil:
			s.failed = err
			return
		default:
			if failures > 0 {
				failures = 0
				s.services.SetReady(nil)
			}
			if d := overflow(control[:nc]); d > 0 {
				dropped = d
			}
			s.take(now.UTC(), from.Addr().Unmap(), buf[:n])
		}
		s.listen(now)
		s.count(dropped)
		if !end.IsZero() && !now.Before(end) {
			s.rest()
			s.count(dropped)
			return
		}
	}
}

func (s *Source) take(at time.Time, from netip.Addr, b []byte) {
	k := s.senders[from]
	if k == nil {
		if s.in.From.IsValid() && from != s.in.From.Unmap() || len(s.senders) == maxSenders {
			s.strange++
			return
		}
		dec, err := s.in.Sensor.NewDecoder(s.in.Calibration)
		if err != nil {
			s.strange++
			s.log.Warn("left out a packet", "stream", s.stream, "from", from, "error", err)
			return
		}
		k = &sender{dec: dec}
		s.senders[from] = k
	}
	s.hear(at, from)
	sweep, err := k.dec.Add(at, b)
	if err != nil {
		if s.bad++; s.bad <= firstWarnings {
			s.log.Warn("left out a packet", "stream", s.stream, "from", from, "error", err)
		}
	}
	if c, _, foreign := k.dec.Counts(); k.stream == "" && c.Packets > 0 {
		s.met(k, from)
	} else if k.stream == "" && foreign == alien && !k.alien {
		k.alien = true
		s.mistaken(from, b)
	}
	s.offer(sweep, k)
}

// mistaken warns about a sender of packets of another kind.
func (s *Source) mistaken(from netip.Addr, b []byte) {
	if s.aliens++; s.aliens > firstWarnings {
		return
	}
	looks := packets.ModelOf(b)
	if looks == "" {
		looks = "unknown"
	}
	s.log.Warn("the packets are not those of the sensor and are ignored; set the option sensor to the one that sends them",
		"from", from, "sensor", s.in.Sensor.Name, "found", looks, "bytes", len(b))
}

// listen warns, once per silence, if no packet came for a long time.
func (s *Source) listen(now time.Time) {
	if s.quiet || now.Sub(s.heard) < unheard {
		return
	}
	s.quiet = true
	_, port, _ := net.SplitHostPort(s.in.Address) // it was listened to
	s.log.Warn("no packets arrive; check the destination address and port that are set in the sensor, its cable, and the "+
		"firewall", "address", s.in.Address, "sensor", s.in.Sensor.Name, "seconds", int(now.Sub(s.heard).Seconds()),
		"remedy", "tcpdump -ni any udp port "+port)
}

// hear notes that a packet came.
func (s *Source) hear(at time.Time, from netip.Addr) {
	s.heard = at
	if s.quiet {
		s.quiet = false
		s.log.Info("packets arrive", "address", s.in.Address, "from", from)
	}
}

// met names the stream of a sender.
func (s *Source) met(k *sender, from netip.Addr) {
	k.stream = s.stream
	if len(s.known) > 0 {
		k.stream = ingest.StreamPart(s.stream, from.String())
		s.log.Info("another sensor sends to this port and is a stream of its own", "stream", k.stream, "from", from)
	}
	s.known = append(s.known, k)
}

// rest offers the incomplete sweeps.
func (s *Source) rest() {
	for _, k := range s.known {
		s.offer(k.dec.Rest(), k)
	}
}

// offer gives a sweep to the reader, if there is room. A whole sweep that is missing does less harm than one with
// holes.
func (s *Source) offer(t *packets.Sweep, from *sender) {
	if t == nil {
		return
	}
	select {
	case s.sweeps <- sweep{t, from}:
	default:
		s.services.Count(live.Missed, 1)
		if s.missed.Add(1) == 1 {
			s.log.Warn("the pipeline is slower than the sensor: sweeps are left out; use more workers, a smaller grid or a "+
				"faster model", "stream", s.stream)
		}
	}
}

func (s *Source) count(dropped uint64) {
	var c packets.Counts
	repeated, foreign := 0, s.strange
	for _, k := range s.senders {
		one, twice, other := k.dec.Counts()
		c.Packets, c.Returns, c.Lost = c.Packets+one.Packets, c.Returns+one.Returns, c.Lost+one.Lost
		repeated, foreign = repeated+twice, foreign+other
	}
	last := s.stats.Swap(&Stats{Counts: c, Repeated: repeated, Foreign: foreign, Bad: s.bad, Dropped: dropped})
	s.services.Count(live.Packet, c.Packets-last.Packets)
	s.services.Count(live.Lost, c.Lost-last.Lost)
	s.services.Count(live.Repeated, repeated-last.Repeated)
	s.services.Count(live.Damaged, s.bad-last.Bad)
	s.services.Count(live.Dropped, int(dropped-last.Dropped)) // it only grows
}

// Read returns the next sweep; io.EOF after the duration of the address, or once the source is closed.
func (s *Source) Read(ctx context.Context) (ingest.Sample, error) {
	select {
	case t, ok := <-s.sweeps:
		if !ok {
			if s.failed != nil {
				return ingest.Sample{}, s.failed
			}
			return ingest.Sample{}, io.EOF
		}
		t.from.seq++
		s.given.Add(1)
		return ingest.Sample{
			ID: record.ID{Stream: t.from.stream, Seq: t.from.seq - 1}, Time: t.Began, Label: ingest.NoLabel,
			Data: t.Cloud,
		}, nil
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
	s.log.Log(context.Background(), level, "sensor closed", "stream", s.stream, "packets", st.Packets, "sweeps",
		st.Sweeps, "lost", st.Lost, "repeated",
		st.Repeated, "dropped by the kernel", st.Dropped, "bad", st.Bad, "of another kind", st.Foreign,
		"sweeps left out", st.Missed)
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
