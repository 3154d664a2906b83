//go:build unix

package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/record"
)

// TestRun: both layouts of one archive give the same classifications, each volume has one, and a second run adds
// nothing.
func TestRun(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", "") // the built-in one
	const digits, rows = 60, 120
	vectors := w.digits("vectors.h5", digits, 7, "--augment")
	clouds := w.digits("clouds.h5", digits, 7, "--augment", "--layout", "clouds")
	out := w.path("classifications.jsonl")
	for i := range 2 {
		s := one[stream.Summary](t, w.do(exitDone, "run", vectors, clouds, "--json").stdout.String())
		if s.Inputs != 2 || s.Volumes != 2*rows || s.Classified != 2*rows || s.Labelled != 2*rows ||
			s.DeadLetters != 0 {
			t.Errorf("run %d: %+v", i+1, s)
		}
		if s.Accuracy == nil || *s.Accuracy < 0.85 {
			t.Errorf("run %d: the built-in model gets %d of %d right", i+1, s.Correct, s.Labelled)
		}
		cs := stored(t, out)
		if n := len(ids(t, out, cs)); n != 2*rows {
			t.Errorf("run %d: found %d classifications, want %d", i+1, n, 2*rows)
		}
		sameLayouts(t, cs)
	}
	w.broker()
	if n := len(ids(t, "topic classifications", published(t, client(t, w.addr())))); n != 2*rows {
		t.Errorf("found %d classifications on the topic, want %d", n, 2*rows)
	}
	if dead := w.deadLetters(); len(dead) != 0 {
		t.Errorf("dead letters: %+v", dead)
	}
}

// sameLayouts wants the same classes, scores and labels of two streams, by number.
func sameLayouts(t *testing.T, cs []record.Classification) {
	t.Helper()
	byStream := map[string]map[uint64]record.Classification{}
	var streams []string
	for _, c := range cs {
		if byStream[c.Stream] == nil {
			byStream[c.Stream] = map[uint64]record.Classification{}
			streams = append(streams, c.Stream)
		}
		byStream[c.Stream][c.Seq] = c
	}
	if len(streams) != 2 {
		t.Fatalf("found the streams %v, want two", streams)
	}
	for seq, a := range byStream[streams[0]] {
		b, ok := byStream[streams[1]][seq]
		if !ok || a.Class != b.Class || !slices.Equal(a.TopK, b.TopK) || a.Label == nil || b.Label == nil ||
			*a.Label != *b.Label {
			t.Errorf("volume %d: %+v and %+v", seq, a, b)
		}
	}
}

var latency = regexp.MustCompile(`"latency_ms":[0-9.e+-]+`)

// TestThreads: the same input gives the same bytes whatever the number of threads; only the latency is a matter of
// the clock.
func TestThreads(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", "")
	input := w.digits("digits.h5", 100, 8, "--threads", "1")
	again := w.digits("again.h5", 100, 8, "--threads", "3")
	if a, b := must(os.ReadFile(input))(t), must(os.ReadFile(again))(t); string(a) != string(b) {
		t.Error("generate made different files with 1 and 3 threads")
	}
	var first string
	for _, threads := range []int{1, 2, 5} {
		n := strconv.Itoa(threads)
		out := w.path(n + ".jsonl")
		w.do(exitDone, "run", input, "--threads", n, "--out", out, "--broker-data-dir", "kafka-"+n)
		got := latency.ReplaceAllString(string(must(os.ReadFile(out))(t)), "")
		if first == "" {
			first = got
		}
		if got != first || lines(out) != 100 {
			t.Errorf("%d threads: %d lines, other bytes than with 1", threads, lines(out))
		}
	}
}

// TestRunSamples: every kind of input at once, on real files.
func TestRunSamples(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("model.path", "")
	// A TUM folder with the one frame that the sample has.
	tum := w.path("tum")
	if err := os.MkdirAll(filepath.Join(tum, "depth"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("tum/depth/1628069033.660061.png", must(os.ReadFile(testenv.Sample(t,
		"rgbd/tum_layout/depth_1628069033.660061.png")))(t))
	w.write("tum/depth.txt", []byte("# depth maps\n1628069033.660061 depth/1628069033.660061.png\n"))
	inputs := []string{tum}
	for _, s := range []string{
		"lidar/pcd/pcl_milk.pcd", "ply/pyntcloud_diamond.ply", "lidar/kitti/mmdet3d_tests_000000.bin",
		"lidar/text/threejs_helix_201.xyz",
		"rgbd/tango/20171122163055_zenfone_ar.ply",
	} {
		inputs = append(inputs, testenv.Sample(t, s))
	}
	for range 2 {
		s := one[stream.Summary](t, w.do(exitDone, append([]string{"run", "--json"}, inputs...)...).stdout.String())
		if s.Inputs != len(inputs) || s.Volumes != int64(len(inputs)) || s.Classified != len(inputs) ||
			s.Labelled != 0 || s.Accuracy != nil {
			t.Errorf("summary: %+v", s)
		}
	}
	cs := stored(t, w.path("classifications.jsonl"))
	if n := len(ids(t, "classifications.jsonl", cs)); n != len(inputs) {
		t.Errorf("found %d classifications, want %d", n, len(inputs))
	}
	for _, c := range cs {
		if c.Label != nil || c.Seq != 0 || c.Score <= 0 || c.Score > 1 || len(c.TopK) != 3 ||
			c.TopK[0].Class != c.Class {
			t.Errorf("%+v", c)
		}
	}
	// A frame knows when it was taken.
	if i := slices.IndexFunc(cs, func(c record.Classification) bool {
		return !c.Time.IsZero() &&
			c.Time.UnixMicro() == 1628069033660061
	}); i < 0 {
		t.Error("no classification has the time of the TUM frame")
	}
}
