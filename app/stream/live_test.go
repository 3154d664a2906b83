package stream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// counting gives so many samples of a stream, then err.
type counting struct {
	stream string
	left   uint64
	err    error
	closed bool
}

func (s *counting) Read(ctx context.Context) (pipeline.Delivery[ingest.Sample], error) {
	if err := ctx.Err(); err != nil {
		return pipeline.Delivery[ingest.Sample]{}, err
	}
	if s.left == 0 {
		if s.err == nil { // a live source waits
			<-ctx.Done()
			return pipeline.Delivery[ingest.Sample]{}, ctx.Err()
		}
		return pipeline.Delivery[ingest.Sample]{}, s.err
	}
	s.left--
	return pipeline.NewDelivery(ingest.Sample{ID: record.ID{Stream: s.stream, Seq: 10 - s.left}}, nil, nil), nil
}

func (s *counting) Close(context.Context) error {
	s.closed = true
	return nil
}

func TestFanIn(t *testing.T) {
	a, b := &counting{stream: "a", left: 3, err: io.EOF}, &counting{stream: "b", left: 4, err: io.EOF}
	f := &fanIn{sources: []pipeline.Source[ingest.Sample]{a, b}}
	last := map[string]uint64{}
	for n := 0; ; n++ {
		d, err := f.Read(t.Context())
		if errors.Is(err, io.EOF) {
			if n != 7 {
				t.Errorf("found %d samples, want 7", n)
			}
			break
		}
		if err != nil || d.Value.Seq <= last[d.Value.Stream] {
			t.Fatalf("found %+v, %v behind %v", d.Value, err, last)
		}
		last[d.Value.Stream] = d.Value.Seq
	}
	if err := f.Close(t.Context()); err != nil || !a.closed || !b.closed {
		t.Errorf("closed %v and %v, %v", a.closed, b.closed, err)
	}

	broken := errors.New("broken")
	waiting := &counting{stream: "w"}
	f = &fanIn{sources: []pipeline.Source[ingest.Sample]{waiting, &counting{err: broken}}}
	if _, err := f.Read(t.Context()); !errors.Is(err, broken) {
		t.Errorf("found error %v, want that of the source", err)
	}
	if err := f.Close(t.Context()); err != nil || !waiting.closed {
		t.Errorf("the source that waits: closed %v, %v", waiting.closed, err)
	}
	f = &fanIn{sources: []pipeline.Source[ingest.Sample]{&counting{}}}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, err := f.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found error %v, want the context's", err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := (&fanIn{sources: []pipeline.Source[ingest.Sample]{&counting{}}}).Close(t.Context()); err != nil {
		t.Errorf("never read: %v", err)
	}
}

func TestSimulate(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // UDP
	to := "udp://" + conn.LocalAddr().String()
	recording := testenv.Sample(t, "lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap")
	metadata := filepath.Join(t.TempDir(), "os.json")
	for _, c := range []struct {
		o             SimulateOptions
		packets, size int
		usage         string
	}{
		{o: SimulateOptions{Recording: recording, To: to, Rate: 20}, packets: 293, size: 1206},
		{o: SimulateOptions{Recording: recording, To: to, Rate: 100, Loop: true, Length: time.Second}, packets: 760, size: 1206},
		{o: SimulateOptions{Scene: "room", To: to + "?sensor=vlp16", Rate: 10, Length: 100 * time.Millisecond}, packets: 76, size: 1206},
		{o: SimulateOptions{Scene: "sphere", To: to + "?sensor=ouster", Rate: 10, Length: 100 * time.Millisecond, Metadata: metadata}, packets: 64, size: 12544},
		{
			o:       SimulateOptions{Scene: "sphere", To: to + "?sensor=ouster", Rate: 10, Length: 100 * time.Millisecond, Metadata: metadata, Legacy: true},
			packets: 64, size: 12608,
		},
		{o: SimulateOptions{To: to}, usage: "either a recording or --scene"},
		{o: SimulateOptions{Recording: recording, To: "there"}, usage: "--to"},
		{o: SimulateOptions{Scene: "moon", To: to + "?sensor=vlp16"}, usage: "room, sphere"},
		{o: SimulateOptions{Scene: "room", To: to + "?sensor=helios"}, usage: "velodyne or ouster"},
	} {
		var out strings.Builder
		a := &app.Env{Out: &out, JSON: true, Config: &config.Loaded{Config: config.Default()}}
		err := Simulate(t.Context(), a, c.o)
		if c.usage != "" {
			if err == nil || app.ExitCode(err) != app.ExitUsage || !strings.Contains(err.Error(), c.usage) {
				t.Errorf("%+v: found error %v, want one of usage: %q", c.o, err, c.usage)
			}
			continue
		}
		var s SimulateSummary
		if err != nil || json.Unmarshal([]byte(out.String()), &s) != nil {
			t.Fatalf("%+v: %v, %s", c.o, err, out.String())
		}
		// A recording that is played again has no exact length.
		if off := s.Packets - c.packets; off < -20 || off > 20 || !c.o.Loop && off != 0 || s.Bytes != int64(s.Packets*c.size) {
			t.Errorf("%+v: found %+v, want %d packets of %d bytes", c.o, s, c.packets, c.size)
		}
	}
	// What nobody hears is sent all the same.
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	a := &app.Env{Out: io.Discard, Config: &config.Loaded{Config: config.Default()}}
	if err := Simulate(t.Context(), a, SimulateOptions{Scene: "sphere", To: to + "?sensor=vlp16", Rate: 10, Length: 100 * time.Millisecond}); err != nil {
		t.Error(err)
	}
}

func TestOpenFirst(t *testing.T) {
	a, _ := apptest.New(t)
	file := filepath.Join(t.TempDir(), "points.xyz")
	if err := os.WriteFile(file, []byte("0 0 0\n1 2 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := file + ".gone.xyz"
	// The same input again is opened again, as is what could not be opened the first time.
	for _, path := range []string{file, missing} {
		open, release := openFirst(t.Context(), a, []string{path})
		for range 2 {
			src, err := open(t.Context(), path)
			if wantErr := path == missing; (err != nil) != wantErr {
				t.Fatalf("%s: got %v, want an error: %v", path, err, wantErr)
			}
			if err != nil {
				continue
			}
			if s, err := src.Read(t.Context()); err != nil || s.Data.(*ingest.PointCloud).Len() != 2 {
				t.Errorf("got %+v, %v, want 2 points", s, err)
			}
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		}
		release()
	}
	// What nobody asks for is closed, and a door is opened when it is read, not before.
	_, release := openFirst(t.Context(), a, []string{file})
	release()
	open, release := openFirst(t.Context(), a, []string{"udp://127.0.0.1:0?sensor=none"})
	if _, err := open(t.Context(), "udp://127.0.0.1:0?sensor=none"); err == nil {
		t.Error("an unknown sensor was opened")
	}
	release()
}
