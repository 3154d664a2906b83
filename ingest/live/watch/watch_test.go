package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// put renames a file of points into a folder; x tells it from others.
func put(t *testing.T, dir, name string, x int) {
	t.Helper()
	temporary := filepath.Join(dir, "."+name)
	if err := os.WriteFile(temporary, fmt.Appendf(nil, "%d 2 3\n4 5 6\n", x), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Minute)
	if err := errors.Join(os.Chtimes(temporary, old, old), os.Rename(temporary, filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
}

var services = live.Services{
	Log: slog.New(slog.DiscardHandler),
	OpenFile: func(ctx context.Context, path string) (ingest.Source, error) {
		return formats.Open(ctx, path, ingest.Options{})
	},
}

// input watches dir, with some of the options set.
func input(t *testing.T, dir, query string) *Input {
	t.Helper()
	in, problems := Kind.Parse("watch://" + dir + "?" + query)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return in.(*Input)
}

func open(t *testing.T, dir, query string) *Source {
	t.Helper()
	s, err := Open(input(t, dir, query), services)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // some tests have closed it
	return s
}

// read wants the next sample to begin with x.
func read(t *testing.T, s *Source, x float64) ingest.Sample {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	sample, err := s.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := sample.Data.(*ingest.PointCloud); !ok || c.X[0] != x {
		t.Fatalf("found %+v, want a cloud whose first point has x = %g", sample.Data, x)
	}
	return sample
}

// nothing wants no more samples.
func nothing(t *testing.T, s *Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if sample, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("found %+v, %v, want nothing", sample, err)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	var seen ingesttest.Events
	reported := services
	reported.Report = seen.Report
	s, err := Open(input(t, dir, ""), reported)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // read from only
	defer func() {
		if n := seen.Count(live.File); n < 4 {
			t.Errorf("%d files were reported, want 4 or more", n)
		}
	}()
	read(t, s, 1)
	for _, name := range []string{".hidden.xyz", "b.xyz.tmp", "c.xyz.part", "d.xyz~"} {
		put(t, dir, name, 9)
	}
	nothing(t, s)
	put(t, dir, "b.xyz", 2)
	read(t, s, 2)
	put(t, dir, "bad.pcd", 3)
	if err := os.WriteFile(filepath.Join(dir, "bad.pcd"), []byte{0xff, 0xfe, 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(t.Context())
	if item, ok := errors.AsType[*ingest.ItemError](err); !ok || item.Stream != "bad.pcd" {
		t.Fatalf("found %v, want an error of bad.pcd", err)
	}
	put(t, dir, "c.xyz", 4)
	read(t, s, 4)
}

// TestGrowing: a file that is written in its place is taken once, when it has been left alone.
func TestGrowing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "settle=3s") // far longer than a busy machine delays the next line
	done := make(chan error, 1)
	go func() {
		f, err := os.Create(filepath.Join(dir, "slow.xyz"))
		for i := range 6 {
			if err == nil {
				_, err = fmt.Fprintf(f, "%d 2 3\n", i)
			}
			time.Sleep(20 * time.Millisecond)
		}
		done <- errors.Join(err, f.Close())
	}()
	sample := read(t, s, 0)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := sample.Data.(*ingest.PointCloud).Len(); n != 6 {
		t.Errorf("found %d points, want all 6", n)
	}
	nothing(t, s)
}

// TestRestart: what was settled is not read again; what was read only is, with the ids that it had; a changed file is
// another one.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.xyz", 1)
	s := open(t, dir, "")
	a := read(t, s, 1)
	put(t, dir, "b.xyz", 2)
	b := read(t, s, 2) // a has ended
	s.Settle(a.Stream, a.Seq, nil)
	if err := s.Close(); err != nil { // b was not settled
		t.Fatal(err)
	}
	state := filepath.Join(dir, ".voxelstream-watch")
	data, err := os.ReadFile(state)
	if err != nil || strings.Count(string(data), "\n") != 1 || !strings.HasSuffix(string(data), ` "a.xyz"`+"\n") {
		t.Fatalf("found state %q, %v", data, err)
	}
	if err := os.WriteFile(state, append(data, "17 half"...), 0o600); err != nil { // cut by a crash
		t.Fatal(err)
	}

	s = open(t, dir, "")
	again := read(t, s, 2)
	if again.Stream != b.Stream || again.Seq != b.Seq {
		t.Errorf("found %s/%d, want %s/%d", again.Stream, again.Seq, b.Stream, b.Seq)
	}
	nothing(t, s)
	s.Settle(again.Stream, again.Seq, errors.New("a dead letter is settled, too"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, "")
	nothing(t, s)
	put(t, dir, "a.xyz", 10)
	read(t, s, 10)
	if err := os.Remove(filepath.Join(dir, "b.xyz")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "")
	if len(s.state.done) != 1 {
		t.Errorf("found %v in the state, want a.xyz only: b.xyz is gone", s.state.done)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.WriteFile(state, []byte("1 x \"a\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(input(t, dir, "state="+state), services); err == nil ||
		!strings.Contains(err.Error(), "state:1: found") {
		t.Errorf("found %v, want an error of the first line", err)
	}
	other := filepath.Join(dir, "other")
	if _, err := Open(input(t, filepath.Join(dir, "none"), "state="+other), services); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want that the folder is not there", err)
	}
}

// TestLeftOut: a folder and a link in the watched folder are not read, and a warning says so once for each.
func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Minute)
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "recording"), 0o700), os.Chtimes(filepath.Join(dir, "recording"), old, old),
		os.Symlink("recording", filepath.Join(dir, "link")), os.Mkdir(filepath.Join(dir, ".hidden"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	with := services
	with.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := Open(input(t, dir, "settle=10ms&poll=10ms"), with)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()                   //nolint:errcheck // nothing was read
	time.Sleep(20 * time.Millisecond) // the link settles
	put(t, dir, "a.xyz", 1)
	read(t, s, 1)
	put(t, dir, "b.xyz", 2)
	read(t, s, 2)
	text := log.String()
	if strings.Count(text, "level=WARN") != 2 || !strings.Contains(text, "name=recording is=\"a folder;") ||
		!strings.Contains(text, `name=link is="not a regular file"`) ||
		!strings.Contains(text, "name it as another input") {
		t.Errorf("found %s", text)
	}
}

func TestAddress(t *testing.T) {
	defaults := Options{Settle: 500 * time.Millisecond, Poll: time.Second}
	for address, want := range map[string]Input{
		"watch://in": {Dir: "in", Options: defaults},
		"watch:///a/b?state=/c.st": {Dir: "/a/b", Options: Options{
			Settle: defaults.Settle, Poll: defaults.Poll,
			State: "/c.st",
		}},
		"watch://in?settle=2s&state=F&poll=10ms": {
			Dir: "in", Options: Options{Settle: 2 * time.Second, Poll: 10 * time.Millisecond, State: "F"},
		},
	} {
		if in, problems := Kind.Parse(address); len(problems) > 0 || *in.(*Input) != want || !in.Endless() {
			t.Errorf("%s: found %+v, %v, want %+v", address, in, problems, want)
		}
	}
	for address, want := range map[string]string{
		"watch://":              "[found no folder, want watch://FOLDER]",
		"watch://in?settle=-1s": `[settle: found "-1s", want a duration with its unit, such as 200ms, 10s or 1h30m; more than 0s]`,
		"watch://?setle=2s&poll=0s": `[poll: found 0s, want more than 0s found the option "setle" (did you mean settle?), want settle, state, poll ` +
			`found no folder, want watch://FOLDER]`,
	} {
		if in, problems := Kind.Parse(address); in != nil || fmt.Sprint(problems) != want {
			t.Errorf("%s: found %+v, %v, want %s", address, in, problems, want)
		}
	}
}

func FuzzDone(f *testing.F) {
	f.Add(`12 1700000000 "a \"b\".pcd"`)
	f.Add(`12 1700000000 1700000001 "a.pcd-01234567" "a.pcd"`)
	f.Add(`12 1700000000 1700000001 "" "a.pcd"`)
	f.Fuzz(func(t *testing.T, line string) {
		d, err := parseDone(line)
		if err != nil {
			return
		}
		if again, err := parseDone(strings.TrimSuffix(d.line(), "\n")); err != nil || again != d {
			t.Errorf("found %+v, %v, want %+v", again, err, d)
		}
	})
}
