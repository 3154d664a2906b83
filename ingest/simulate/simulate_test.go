package simulate

import (
	"bytes"
	"context"
	"iter"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/packets"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

func scene(t *testing.T, name string) Scene {
	t.Helper()
	s, err := NamedScene(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sensor(t *testing.T, name, calibration string) *packets.Decoder {
	t.Helper()
	s, err := packets.FindSensor(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.NewDecoder(calibration)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func metadata(t *testing.T, o Ouster) string {
	t.Helper()
	data, err := o.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "os64.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sweeps decodes the first n sweeps of simulated packets.
func sweeps(t *testing.T, d *packets.Decoder, start time.Time, ps iter.Seq2[Packet, error],
	n int,
) (out []*packets.Sweep) {
	t.Helper()
	for p, err := range ps {
		if err != nil {
			t.Fatal(err)
		}
		sweep, err := d.Add(start.Add(p.After), p.Data)
		if err != nil {
			t.Fatal(err)
		}
		if sweep != nil {
			if out = append(out, sweep); len(out) == n {
				return out
			}
		}
	}
	return out
}

// TestScenes: what the decoders make of simulated packets lies on the walls of the scene, at the resolution of the
// encoding.
func TestScenes(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 59, 59, 900_000_000, time.UTC) // passes the hour
	for _, c := range []struct {
		name       string
		decoder    func() *packets.Decoder
		packets    func(Scene, time.Time) iter.Seq2[Packet, error]
		points     int
		resolution float64
	}{
		// An azimuth of 0.01 degrees is 2 mm at 12 m.
		{"vlp16", func() *packets.Decoder { return sensor(t, "vlp16", "") }, VLP16, 28928, 0.004},
		{
			"ouster", func() *packets.Decoder { return sensor(t, "ouster", metadata(t, Ouster{})) }, Ouster{}.Packets,
			ousterColumns * ousterBeams, 0.0006,
		},
		{
			"legacy ouster", func() *packets.Decoder {
				return sensor(t, "ouster",
					metadata(t, Ouster{Legacy: true}))
			}, Ouster{Legacy: true}.Packets,
			ousterColumns * ousterBeams, 0.0006,
		},
	} {
		for _, name := range []string{"sphere", "room"} {
			s := scene(t, name)
			d := c.decoder()
			got := sweeps(t, d, start, c.packets(s, start), 3)
			for i, sweep := range got[1:] {
				cloud := sweep.Cloud
				if math.Abs(float64(cloud.Len()-c.points)) > 64 {
					t.Errorf("%s in a %s: found %d points, want about %d", c.name, name, cloud.Len(), c.points)
				}
				if off := sweep.Began.Sub(start) - time.Duration(i+1)*100*time.Millisecond; off.Abs() > 2*time.Millisecond {
					t.Errorf("%s: sweep %d begins %v off", c.name, i+1, off)
				}
				if worst := distance(s, cloud); worst > c.resolution {
					t.Errorf("%s in a %s: found a point %g m off the wall, want %g at most", c.name, name, worst,
						c.resolution)
				}
			}
			if counts, repeated, foreign := d.Counts(); counts.Lost+repeated+foreign != 0 {
				t.Errorf("%s: found %+v, %d repeated, %d foreign", c.name, counts, repeated, foreign)
			}
		}
	}
}

// TestStreet: each sweep of a sensor in a street is what is there at the begin of the sweep.
func TestStreet(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := scene(t, "street")
	for name, c := range map[string]struct {
		decoder *packets.Decoder
		packets iter.Seq2[Packet, error]
	}{
		"vlp16":  {sensor(t, "vlp16", ""), VLP16(s, start)},
		"ouster": {sensor(t, "ouster", metadata(t, Ouster{})), Ouster{}.Packets(s, start)},
	} {
		for i, sweep := range sweeps(t, c.decoder, start, c.packets, 4)[1:] {
			near := func(view View) (share float64) {
				cloud := sweep.Cloud
				for k := range cloud.X {
					p := vec{cloud.X[k], cloud.Y[k], cloud.Z[k]}
					h := view.Cast([3]float64{}, p.unit().array())
					if math.Abs(h.Range-p.norm()) < 0.02 {
						share++
					}
				}
				return share / float64(cloud.Len())
			}
			at := time.Duration(i+1) * 100 * time.Millisecond
			if now, later := near(s.At(at)), near(s.At(at+time.Second)); now < 0.9 || later > now-0.05 {
				t.Errorf("%s, sweep %d: found a share of %g where the street is, and %g a second later", name, i+1,
					now, later)
			}
		}
	}
}

// distance is how far the worst point of a cloud is from the walls.
func distance(s Scene, c *ingest.PointCloud) (worst float64) {
	for i := range c.X {
		p := [3]float64{c.X[i], c.Y[i], c.Z[i]}
		r := vecOf(p).norm()
		off := r - s.At(0).Cast([3]float64{}, vecOf(p).unit().array()).Range
		if b, ok := s.(Box); ok { // the nearest wall, not the one along the ray: at a flat angle the two differ
			off = math.Inf(1)
			for k := range p {
				off = min(off, math.Abs(p[k]-b.Min[k]), math.Abs(p[k]-b.Max[k]))
			}
		}
		worst = max(worst, math.Abs(off))
	}
	return worst
}

// clock notes when it was written to.
type clock struct {
	bytes.Buffer
	at []time.Time
}

func (c *clock) Write(b []byte) (int, error) {
	c.at = append(c.at, time.Now())
	return c.Buffer.Write(b)
}

func TestPlay(t *testing.T) {
	ps := Recorded(func(yield func(packets.Record, error) bool) {
		for i := range 3 {
			if !yield(packets.Record{Time: time.Unix(100, int64(i)*20e6), Data: []byte{byte(i)}}, nil) {
				return
			}
		}
	}, true, 0)
	var w clock
	begin := time.Now()
	s, err := Play(t.Context(), &w, Take(ps, 110*time.Millisecond), 2)
	if took := time.Since(begin); err != nil || s.Packets != 6 ||
		!bytes.Equal(w.Bytes(), []byte{0, 1, 2, 0, 1, 2}) || took < 50*time.Millisecond {
		t.Errorf("found %+v, %v of %v in %v; want two rounds in 50 ms", s, err, w.Bytes(), took)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer stop()
	if s, err := Play(ctx, &w, ps, 1e-3); err != nil || s.Packets != 1 {
		t.Errorf("found %+v, %v; want one packet before the end", s, err)
	}
	if _, err := Play(t.Context(), &w, ps, math.NaN()); err == nil {
		t.Error("a rate of NaN was taken")
	}
}

func TestRecorded(t *testing.T) {
	records, err := packets.Records(t.Context(),
		testenv.Sample(t, "lidar/velodyne/mrpt_sample_velodyne_vlp16_gps.pcap"),
		ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, last := 0, time.Duration(-1)
	for p, err := range Recorded(records, false, 0) {
		if err != nil || p.After < last || len(p.Data) != vlp16Size {
			t.Fatalf("packet %d: found %v after %v, %d bytes, %v", n, p.After, last, len(p.Data), err)
		}
		n, last = n+1, p.After
	}
	if n != 293 || last < 300*time.Millisecond || last > 500*time.Millisecond {
		t.Errorf("found %d packets in %v", n, last)
	}
}
