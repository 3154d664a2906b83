package udp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/ingest/simulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// input is the parsed address.
func input(t *testing.T, address string) *Input {
	t.Helper()
	in, problems := Kind.Parse(address)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return in.(*Input)
}

// play sends half a second of a VLP-16 in a sphere, as fast as rate says.
func play(t *testing.T, to string, length time.Duration, rate float64) simulate.Stats {
	t.Helper()
	conn, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // UDP
	s, err := simulate.Play(t.Context(), conn, simulate.Take(simulate.VLP16(simulate.Sphere{Radius: 5}, time.Now()),
		length), rate)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReceive(t *testing.T) {
	var seen ingesttest.Events
	s, err := Open(t.Context(), input(t, "udp://127.0.0.1:0?sensor=vlp16&duration=5s"),
		live.Services{Log: discard, Report: seen.Report})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // closed below
	sent := play(t, s.Addr(), 450*time.Millisecond, 1)
	points := 0
	var last ingest.Sample
	for i := uint64(0); ; i++ {
		sample, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || sample.Seq != i || last.Stream != "" && sample.Stream != last.Stream ||
			!sample.Time.After(last.Time) {
			t.Fatalf("found %+v, %v behind %+v", sample, err, last)
		}
		p, ok := sample.Data.(*ingest.PointCloud)
		if !ok {
			t.Fatalf("found %T", sample.Data)
		}
		points, last = points+p.Len(), sample
	}
	if st := s.Stats(); st.Packets != sent.Packets || st.Sweeps != 5 || st.Lost+st.Bad+st.Foreign != 0 ||
		st.Dropped+st.Missed != 0 || points != sent.Packets*384 {
		t.Errorf("found %+v and %d points, sent %+v", st, points, sent)
	}
	if n := seen.Count(live.Packet); n != sent.Packets ||
		seen.Count(live.Lost)+seen.Count(live.Damaged)+seen.Count(live.Dropped)+seen.Count(live.Missed) != 0 {
		t.Errorf("%d packets were reported, want %d", n, sent.Packets)
	}
	if age := time.Since(last.Time); age < 0 || age > testenv.Patience {
		t.Errorf("the last sweep began %v ago, by the sensor's clock", age)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestSeveralSenders: each is a stream of its own, unless one is chosen.
func TestSeveralSenders(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	for option, want := range map[string]int{"": 2, "&from=127.0.0.2": 1} {
		s, err := Open(t.Context(), input(t, "udp://127.0.0.1:0?sensor=vlp16&duration=4s"+option),
			live.Services{Log: discard})
		if err != nil {
			t.Fatal(err)
		}
		to := s.conn.LocalAddr().(*net.UDPAddr)
		var conns []*net.UDPConn
		for _, host := range []string{"127.0.0.2", "127.0.0.3"} {
			conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}, to)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // UDP
			conns = append(conns, conn)
		}
		n := 0
		for p, err := range simulate.Take(simulate.VLP16(simulate.Sphere{Radius: 5}, time.Now()),
			250*time.Millisecond) {
			if err != nil {
				t.Fatal(err)
			}
			for _, conn := range conns {
				if _, err := conn.Write(p.Data); err != nil {
					t.Fatal(err)
				}
			}
			n++
		}
		points := map[string]int{}
		for {
			sample, err := s.Read(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			points[sample.Stream] += sample.Data.(*ingest.PointCloud).Len()
		}
		if st := s.Stats(); len(points) != want || st.Packets != want*n || st.Foreign != (2-want)*n {
			t.Errorf("%q: found streams %v and %+v, want %d of %d packets", option, points, st, want, n)
		}
		for stream, got := range points {
			if got != n*384 {
				t.Errorf("%q: found %d points of %s, want those of %d packets", option, got, stream, n)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSlowReader: sweeps that do not fit are left out whole, and counted; reading ends with the context and with
// Close.
func TestSlowReader(t *testing.T) {
	var log bytes.Buffer
	var seen ingesttest.Events
	services := live.Services{Log: slog.New(slog.NewTextHandler(&log, nil)), Report: seen.Report}
	s, err := Open(t.Context(), input(t, "udp://127.0.0.1:0?sensor=vlp16"), services)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // UDP
	if _, err := conn.Write([]byte("no packet of a lidar")); err != nil {
		t.Fatal(err)
	}
	play(t, s.Addr(), 1500*time.Millisecond, 3)
	time.Sleep(silence + 100*time.Millisecond)
	st := s.Stats()
	if st.Missed == 0 || st.Missed+queue < 14 || st.Foreign != 1 {
		t.Errorf("found %+v, want some 15 sweeps, of which %d wait", st, queue)
	}
	if missed := seen.Count(live.Missed); missed != int(st.Missed) || seen.Count(live.Damaged) != st.Bad ||
		seen.Count(live.Packet) != st.Packets {
		t.Errorf("%d missed sweeps were reported, want %d", missed, st.Missed)
	}
	for range queue {
		if _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found error %v, want the context's", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("found error %v behind Close, want the end", err)
	}
	if !strings.Contains(log.String(), "sensor closed") || !strings.Contains(log.String(), "slower than the sensor") {
		t.Errorf("found log %s", log.String())
	}
}

// deaf returns a source without a socket that logs to the returned buffer.
func deaf(t *testing.T, address string) (*Source, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	return &Source{
		in: input(t, address), log: slog.New(slog.NewTextHandler(log, nil)), senders: map[netip.Addr]*sender{},
		sweeps: make(chan sweep, queue), heard: time.Unix(1000, 0), stream: "deaf",
	}, log
}

// TestOtherSensor: packets of another kind are a warning that says what they look like, once for each sender. A sensor
// that sends other packets, too, is none.
func TestOtherSensor(t *testing.T) {
	var vlp16 [][]byte
	for p, err := range simulate.Take(simulate.VLP16(simulate.Sphere{Radius: 5}, time.Now()), 50*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		vlp16 = append(vlp16, slices.Clone(p.Data))
	}
	s, log := deaf(t, "udp://:2368?sensor=xt16")
	send := func(from string, b []byte) { s.take(time.Unix(1001, 0), netip.MustParseAddr(from), b) }
	for _, p := range vlp16[:alien-1] {
		send("10.0.0.1", p)
	}
	if log.Len() > 0 {
		t.Errorf("found %s after %d packets, want nothing yet", log, alien-1)
	}
	for _, p := range vlp16 {
		send("10.0.0.1", p)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") ||
		!strings.Contains(got, "not those of the sensor") ||
		!strings.Contains(got, `from=10.0.0.1 sensor=hesai found="Velodyne VLP-16"`) {
		t.Errorf("found %s, want one warning that names the sender and both sensors", got)
	}
	for i := range 9 {
		for range vlp16 {
			send(fmt.Sprintf("10.0.1.%d", i), []byte("no packet of a lidar"))
		}
	}
	if got := log.String(); strings.Count(got, "\n") != firstWarnings || !strings.Contains(got, "found=unknown") {
		t.Errorf("found %s, want %d warnings", got, firstWarnings)
	}

	s, log = deaf(t, "udp://:2368?sensor=vlp16")
	send("10.0.0.1", vlp16[0])
	for range 2 * alien {
		send("10.0.0.1", []byte("the sensor's other packets"))
	}
	if log.Len() > 0 {
		t.Errorf("found %s, want nothing about a sensor that sends other packets, too", log)
	}
}

// TestNothingArrives: a silent port is a warning, once, and its end is noted.
func TestNothingArrives(t *testing.T) {
	s, log := deaf(t, "udp://:2368?sensor=vlp16")
	s.listen(s.heard.Add(unheard - 1))
	if log.Len() > 0 {
		t.Errorf("found %s, want nothing yet", log)
	}
	for range 2 {
		log.Reset()
		begin := s.heard
		for i := range 5 {
			s.listen(begin.Add(unheard + time.Duration(i)*silence))
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") ||
			!strings.Contains(got, "no packets arrive; check") || !strings.Contains(got, "address=:2368") ||
			!strings.Contains(got, "tcpdump -ni any udp port 2368") {
			t.Errorf("found %s, want one warning that says what to check", got)
		}
		log.Reset()
		for range 2 {
			s.take(begin.Add(time.Minute), netip.MustParseAddr("10.0.0.1"), []byte("packet"))
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=INFO") ||
			!strings.Contains(got, "packets arrive") {
			t.Errorf("found %s, want one line", got)
		}
	}
}

// TestKernelDrops fills a small receive buffer while nobody reads it, so that the kernel has something to tell.
func TestKernelDrops(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what it drops")
	}
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close() //nolint:errcheck // UDP
	if err := size(pc, 4096, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // UDP
	const sent = 100
	for range sent {
		if _, err := conn.Write(make([]byte, 1206)); err != nil {
			t.Fatal(err)
		}
	}
	buf, control := make([]byte, maxDatagram), make([]byte, 64)
	var got, dropped uint64
	for {
		if err := pc.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, nc, _, _, err := pc.ReadMsgUDPAddrPort(buf, control)
		if err != nil {
			break
		}
		got, dropped = got+1, max(dropped, overflow(control[:nc]))
		if got == 1 { // the count comes with a packet that is queued behind the drops
			_, _ = conn.Write(make([]byte, 1206))
		}
	}
	if dropped == 0 || got+dropped != sent+1 {
		t.Errorf("found %d packets and %d dropped, want %d together", got, dropped, sent+1)
	}
}

func TestBufferWarning(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the size")
	}
	var log bytes.Buffer
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close() //nolint:errcheck // UDP
	const want = 1 << 30
	if err := size(pc, want, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	got, err := prepare(pc, want)
	if err != nil {
		t.Fatal(err)
	}
	// Who may administer the network gets what it wants.
	if warned := strings.Contains(log.String(), "sysctl -w net.core.rmem_max=1073741824"); warned != (got < want) {
		t.Errorf("found log %q with a buffer of %d", log.String(), got)
	}
}

func TestAddress(t *testing.T) {
	for address, want := range map[string]string{
		"udp://:2368?sensor=vlp16":                                           ":2368 velodyne 33554432 0s true",
		"udp://10.0.0.1?sensor=ouster&calibration=a+b.json":                  "10.0.0.1:7502 ouster 33554432 0s a+b.json true",
		"udp://[::1]:7?sensor=helios&buffer=65536&duration=1m&calibration=x": "[::1]:7 robosense 65536 1m0s x false",
		"udp://[::1]/?sensor=qt64&buffer=1MiB":                               "[::1]:2368 hesai 1048576 0s true",
	} {
		in, problems := Kind.Parse(address)
		if len(problems) > 0 {
			t.Errorf("%s: found %v", address, problems)
			continue
		}
		i := in.(*Input)
		got := strings.Join(strings.Fields(fmt.Sprint(i.Address, " ", i.Sensor.Name, " ", int64(i.Buffer), " ",
			i.Duration, " ", i.Calibration, " ", i.Endless())), " ")
		if got != want {
			t.Errorf("%s: found %s, want %s", address, got, want)
		}
	}
	for address, want := range map[string][]string{
		"udp://:2368":                         {"sensor: found none, want one of velodyne"},
		"udp://:2368?sensor=sonar":            {`sensor: found "sonar", want one of velodyne`},
		"udp://:2368?sensor=vlp61":            {`sensor: found "vlp61" (did you mean vlp16?)`},
		"udp://:1?sensor=vlp16&buffer=0":      {"buffer: found 0, want 1B to 1GiB"},
		"udp://:1?sensor=vlp16&buffer=2GiB":   {"buffer: found 2GiB, want 1B to 1GiB"},
		"udp://:1?sensor=vlp16&duration=10":   {"duration: found"},
		"udp://:1?sensor=vlp16&calibratoin=x": {`found the option "calibratoin" (did you mean calibration?)`},
		"udp://:port?sensor=vlp16":            {"port"},
		"udp://:1/some/where?sensor=vlp16":    {"found more than a host and a port"},
		"udp://me:secret@:1?sensor=vlp16":     {"found more than a host and a port"},
		"udp://:1?sensor=ouster":              {"calibration: found none, want the sensor's metadata"},
		"udp://:1/a?sensr=vlp16&buffer=x": {
			"buffer: found", `found the option "sensr" (did you mean sensor?)`,
			"found more than", "sensor: found none",
		},
		"udp://:1?sensor=vlp16&buffer=%zz&x=1": {"invalid URL escape", `the option "x"`},
	} {
		in, problems := Kind.Parse(address)
		if in != nil || len(problems) != len(want) {
			t.Errorf("%s: found %v, %q, want %q", address, in, problems, want)
			continue
		}
		for i, p := range problems {
			if !strings.Contains(p.Error(), want[i]) || strings.Contains(p.Error(), "secret") {
				t.Errorf("%s: found %v, want %q", address, p, want[i])
			}
		}
	}
	if in, err := Parse("udp://10.0.0.1:99"); err != nil || in.Address != "10.0.0.1:99" || in.Sensor.Name != "" {
		t.Errorf("without a sensor: found %+v, %v", in, err)
	}
}
