package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

func parse(t *testing.T, texts ...string) []input.Input {
	t.Helper()
	inputs, err := input.Parse(texts)
	if err != nil {
		t.Fatal(err)
	}
	return inputs
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// deadTopic keeps the dead letters that are written to it.
type deadTopic struct {
	mu sync.Mutex
	ms []transport.Message
	// fails is the error of every write.
	fails error
}

func (d *deadTopic) WriteDeadLetter(_ context.Context, m transport.Message, l transport.DeadLetter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ms = append(d.ms, transport.DeadLetterOf(m, l))
	return d.fails
}

func (d *deadTopic) writer() *deadLetters {
	return newDeadLetters(slog.New(slog.DiscardHandler), pipeline.Unobserved, d)
}

// has wants one dead letter for each event id, whose value has the text.
func (d *deadTopic) has(t *testing.T, want map[string]string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.ms {
		text, ok := want[m.EventID()]
		if !ok || !strings.Contains(string(m.Value), text) {
			t.Errorf("found dead letter %s: %s, want those of %v", m.EventID(), m.Value, want)
		}
	}
	if len(d.ms) != len(want) {
		t.Errorf("found %d dead letters, want %d", len(d.ms), len(want))
	}
}

func TestOpenAhead(t *testing.T) {
	a := apptest.New(t)
	file := write(t, filepath.Join(t.TempDir(), "points.xyz"), "0 0 0\n1 2 3\n")
	gone := write(t, filepath.Join(t.TempDir(), "gone.xyz"), "0 0 0\n")
	missing := parse(t, gone)[0]
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	// The same input again is opened again, as is what could not be opened the first time.
	for _, in := range []input.Input{parse(t, file)[0], missing} {
		open, release := openAhead(t.Context(), []input.Input{in}, openerOf(a))
		for range 2 {
			src, err := open(t.Context(), in)
			if wantErr := in == missing; (err != nil) != wantErr {
				t.Fatalf("%v: found error %v, want one: %v", in, err, wantErr)
			}
			if err != nil {
				continue
			}
			if s, err := src.Read(t.Context()); err != nil || s.Data.(*ingest.PointCloud).Len() != 2 {
				t.Errorf("found %+v, %v, want 2 points", s, err)
			}
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		}
		release()
	}
	// A file that nobody asks for is closed. A live source is opened when it is read, not before.
	_, release := openAhead(t.Context(), parse(t, file), openerOf(a))
	release()
	folder := t.TempDir()
	watched := parse(t, "watch://"+folder)
	open, release := openAhead(t.Context(), watched, openerOf(a))
	defer release()
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if src, err := open(t.Context(), watched[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, %v, want that the folder is gone by now", src, err)
	}
}

// closing tells when it is closed.
type closing struct {
	ingest.Source
	closed chan struct{}
}

func (c closing) Close() error {
	close(c.closed)
	return nil
}

// TestOpenAheadBlocks: a first input that does not open holds up neither the one who asks for it, once his context
// ends, nor release, and is closed should it open after all.
func TestOpenAheadBlocks(t *testing.T) {
	inputs := parse(t, write(t, filepath.Join(t.TempDir(), "points.xyz"), "0 0 0\n"))
	opens, src := make(chan struct{}), closing{closed: make(chan struct{})}
	open, release := openAhead(t.Context(), inputs, func(context.Context, input.Input) (ingest.Source, error) {
		<-opens
		return src, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if got, err := open(ctx, inputs[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, %v, want that the context ended", got, err)
	}
	release()
	close(opens)
	<-src.closed
}

// drain reads the source to its end and settles each sample by outcome; it gives the samples' streams without their
// fingerprints.
func drain(t *testing.T, src pipeline.Source[ingest.Sample], outcome func(ingest.Sample) error) (streams []string) {
	t.Helper()
	for {
		d, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(d.Value.Stream, "-")
		streams = append(streams, name)
		d.Settle(outcome(d.Value))
	}
	if err := src.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return streams
}

// TestSequence: inputs are read in order; what cannot be read or is refused further on becomes a dead letter, and
// reading goes on.
func TestSequence(t *testing.T) {
	a := apptest.New(t)
	dir := t.TempDir()
	one, two := write(t, filepath.Join(dir, "one", "scan.xyz"), "1 2 3\n4 5 6\n"), write(t,
		filepath.Join(dir, "two", "scan.xyz"), "7 8 9\n4 5 6\n")
	bad := write(t, filepath.Join(dir, "bad.bin"), "\xff\xfe\x01")
	refused := write(t, filepath.Join(dir, "refused.xyz"), "-1 2 3\n4 5 6\n")
	stream := func(path string) string { return parse(t, path)[0].Stream() }

	topic := &deadTopic{}
	inputs := parse(t, bad, one, refused, two, one)
	open, release := openAhead(t.Context(), inputs, openerOf(a))
	defer release()
	files := &input.Files{}
	src, err := newSources(t.Context(), a, inputs, files, open, nil, topic.writer())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	streams := drain(t, src, func(s ingest.Sample) error {
		ids[s.ID.String()]++
		if s.Data.(*ingest.PointCloud).X[0] < 0 {
			return pipeline.Permanent(&pipeline.Failure{Stage: "crop", Err: &ingest.ItemError{
				ID:  s.ID,
				Err: errors.New("nothing is left"),
			}})
		}
		return nil
	})
	if want := []string{"scan.xyz", "refused.xyz", "scan.xyz"}; !slices.Equal(streams, want) {
		t.Errorf("found %v, want %v", streams, want)
	}
	// Files of one name are told apart by their content; a file that is named twice is read once.
	if len(ids) != 3 || ids[stream(one)+"/0"] != 1 || ids[stream(two)+"/0"] != 1 {
		t.Errorf("found ids %v", ids)
	}
	topic.has(t, map[string]string{
		stream(bad) + "/0!ingest": fmt.Sprintf(`{"input":%q,"stream":%q,"seq":0,"stage":"ingest","error":`, bad,
			stream(bad)),
		stream(refused) + "/0!crop": fmt.Sprintf(`{"input":%q,"stream":%q,"seq":0,"stage":"crop","error":"nothing is left"}`, refused, stream(refused)),
	})
	if n, all := src.unreadable(); n != 1 || all {
		t.Errorf("found %d unreadable inputs, all: %v; want 1 of 4", n, all)
	}
	found := files.List()
	for i := range found {
		if found[i].File == bad && strings.Contains(found[i].Error, "found 3 bytes") {
			found[i].Error = "unknown"
		}
	}
	if want := []app.FileOutcome{
		{File: bad, Status: app.FileFailed, Error: "unknown"},
		{File: one, Status: app.FileDone, Rows: 1},
		{File: refused, Status: app.FileFailed, Failed: 1, Error: "nothing is left"},
		{File: two, Status: app.FileDone, Rows: 1},
		{File: one, Status: app.FileRepeated, Error: "named before"},
	}; !slices.Equal(found, want) {
		t.Errorf("found outcomes %+v, want %+v", found, want)
	}
}

// TestSequenceStops: a dead letter that cannot be stored ends reading with its error.
func TestSequenceStops(t *testing.T) {
	a := apptest.New(t)
	dir := t.TempDir()
	inputs := parse(t, write(t, filepath.Join(dir, "bad.bin"), "\xff\xfe\x01"),
		write(t, filepath.Join(dir, "good.xyz"), "1 2 3\n"))
	topic := &deadTopic{fails: errors.New("the disk is full")}
	src, err := newSources(t.Context(), a, inputs, &input.Files{}, openerOf(a), nil, topic.writer())
	if err != nil {
		t.Fatal(err)
	}
	if d, err := src.Read(t.Context()); !errors.Is(err, topic.fails) {
		t.Errorf("found %+v, %v, want that the disk is full", d.Value, err)
	}
	if err := src.Close(t.Context()); !errors.Is(err, topic.fails) {
		t.Errorf("found %v, want that the disk is full", err)
	}
}

// TestMixedInputs: files are read while a live source waits, and its samples come beside theirs. The folder's file is
// done with when it is settled.
func TestMixedInputs(t *testing.T) {
	a := apptest.New(t)
	dir, watched := t.TempDir(), t.TempDir()
	write(t, filepath.Join(watched, "live.xyz"), "1 2 3\n4 5 6\n")
	inputs := parse(t, write(t, filepath.Join(dir, "a.xyz"), "1 2 3\n"), "watch://"+watched+"?settle=1ms",
		write(t, filepath.Join(dir, "b.xyz"), "1 2 3\n"))
	topic := &deadTopic{}
	open, release := openAhead(t.Context(), inputs, openerOf(a))
	defer release()
	src, err := newSources(t.Context(), a, inputs, &input.Files{}, open, nil, topic.writer())
	if err != nil {
		t.Fatal(err)
	}
	var files, live []string
	for range 3 {
		d, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(d.Value.Stream, "-")
		if name == "live.xyz" {
			live = append(live, name)
			d.Settle(pipeline.Permanent(errors.New("refused")))
			continue
		}
		files = append(files, name)
		d.Settle(nil)
	}
	if !slices.Equal(files, []string{"a.xyz", "b.xyz"}) || len(live) != 1 {
		t.Errorf("found files %v and %v, want both in order, and the one of the folder", files, live)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Error(err)
	}
	id := parse(t, filepath.Join(watched, "live.xyz"))[0].Stream() + "/0!voxelize"
	topic.has(t, map[string]string{id: fmt.Sprintf("watch://%s?settle=1ms", watched)})
}

// TestLiveSourceFails: a live source that cannot be opened is an error, not a dead letter.
func TestLiveSourceFails(t *testing.T) {
	a := apptest.New(t)
	topic := &deadTopic{}
	inputs := parse(t, "watch://"+filepath.Join(t.TempDir(), "none"))
	open, release := openAhead(t.Context(), inputs, openerOf(a))
	defer release()
	src, err := newSources(t.Context(), a, inputs, &input.Files{}, open, nil, topic.writer())
	if err != nil {
		t.Fatal(err)
	}
	if d, err := src.Read(t.Context()); !errors.Is(err, os.ErrNotExist) ||
		!strings.Contains(err.Error(), inputs[0].String()) {
		t.Errorf("found %+v, %v, want that the folder is not there", d.Value, err)
	}
	topic.has(t, nil)
}

// TestDeadLetterID: an object and a view are in the dead letter where there are any, and only there.
func TestDeadLetterID(t *testing.T) {
	in := parse(t, "-")[0]
	for want, id := range map[string]record.ID{
		`{"input":"-","stream":"s","seq":7,"stage":"voxelize","error":"bad"}`: {Stream: "s", Seq: 7},
		`{"input":"-","stream":"s","seq":7,"object":3,"view":5,"stage":"voxelize","error":"bad"}`: {
			Stream: "s", Seq: 7,
			Object: 3, View: 5,
		},
	} {
		topic := &deadTopic{}
		if err := topic.writer().write(t.Context(), newDeadLetter(in, id, "voxelize", errors.New("bad"))); err != nil {
			t.Fatal(err)
		}
		topic.has(t, map[string]string{id.String() + "!voxelize": want})
		var d deadLetter
		if err := json.Unmarshal(topic.ms[0].Value, &d); err != nil || d.id() != id {
			t.Errorf("found %+v, %v, want %v", d, err, id)
		}
	}
}
