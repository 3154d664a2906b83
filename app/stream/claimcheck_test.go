package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/internal/store/storetest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/claimcheck"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// A volume of largeSide cells along each axis, of float32 values, takes 128 KiB, and messages are limited to 64 KiB.
const (
	largeSide = 32
	largeRows = 3
)

// large is an input of volumes that exceed the limit of messages, with the model for them.
type large struct {
	model, input, out string
	want              [][]float32 // scores by row
	settings          []string
}

// newLarge returns an input and the settings with which objects are kept at a place.
func newLarge(t *testing.T, place string) *large {
	t.Helper()
	m, err := nn.Sequential("large", nn.Shape{largeSide, largeSide, largeSide, 1}, layers.NewMaxPooling3D(8),
		layers.NewFlatten(), layers.NewDense(rawClasses, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(7)
	dir := t.TempDir()
	l := &large{model: filepath.Join(dir, "large.keras"), out: filepath.Join(dir, "out.jsonl")}
	if err := format.Save(l.model, m); err != nil {
		t.Fatal(err)
	}
	x := make([]float32, largeRows*largeSide*largeSide*largeSide)
	for i := range x {
		x[i] = float32((i*7919)%1000) / 1000 * float32(1+i/(largeSide*largeSide*largeSide))
	}
	l.input = writeNPY(t, []int{largeRows, largeSide, largeSide, largeSide, 1}, x)
	l.settings = []string{
		"broker.data_dir", filepath.Join(dir, "kafka"), "kafka.max_message", "64KiB", "kafka.claim_check", place,
		"model.path", l.model, "model.top_k", fmt.Sprint(rawClasses), "sinks.out", l.out,
		"voxelize.grid", fmt.Sprint(largeSide), "voxelize.values", "raw", "pipeline.attempts", "2",
	}
	a := l.env(t)
	l.want = predicted(t, a, l.model, l.input)
	return l
}

// env is an environment with more settings, the last of which count.
func (l *large) env(t *testing.T, more ...string) *app.Env {
	t.Helper()
	return apptest.New(t, append(slices.Clone(l.settings), more...)...)
}

// ingest sends the volumes.
func (l *large) ingest(t *testing.T, a *app.Env) {
	t.Helper()
	s, err := Ingest(t.Context(), a, []string{l.input})
	if err != nil || s.Volumes != largeRows || s.Messages != largeRows {
		t.Fatalf("found %+v, %v, want %d volumes in as many messages", s, err, largeRows)
	}
}

// check wants one classification per volume, with the scores that the model gives.
func (l *large) check(t *testing.T) {
	t.Helper()
	got := classified(t, l.out)
	if len(got) != largeRows {
		t.Fatalf("found %d classifications, want %d", len(got), largeRows)
	}
	for i, w := range l.want {
		for k, p := range w {
			if math.Abs(float64(got[uint64(i)][k]-p)) > 1e-6 {
				t.Errorf("row %d: found %v, want %v", i, got[uint64(i)], w)
				break
			}
		}
	}
}

// onTopic are the messages of a topic.
func onTopic(t *testing.T, a *app.Env, topic string) (all []transport.Message) {
	t.Helper()
	err := WithClient(t.Context(), a, func(c *kafka.Client) error {
		for m, err := range c.Records(t.Context(), topic, false) {
			if err != nil {
				return err
			}
			all = append(all, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestClaimCheck: volumes above the limit of messages are classified as others are, each once, also if they are sent
// again. Traces go on, and every message has the ID, the key and the schema that it would have with its value.
func TestClaimCheck(t *testing.T) {
	for name, place := range map[string]string{
		"folder": filepath.Join(t.TempDir(), "objects"),
		"bucket": "s3://" + storetest.Bucket + "/a?access-key=k&secret-key=s&region=r&endpoint=" +
			url.QueryEscape(storetest.S3(t)),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLarge(t, place)
			a := l.env(t)
			spans := newReceiver(t)
			spans.traced(t, a, func(a *app.Env) { l.ingest(t, a) })
			for _, m := range onTopic(t, a, "volumes") {
				r, err := m.Reference()
				if err != nil || r == nil || m.Size() > 2000 {
					t.Fatalf("found a message of %d bytes with the reference %v, %v", m.Size(), r, err)
				}
				schema, _ := m.Header(transport.HeaderSchema)
				if id := fmt.Sprintf("%s/%d", m.Key, m.Offset); m.EventID() != id || schema != "volumes/2" {
					t.Errorf("found the event ID %s and the schema %s, want %s and volumes/2", m.EventID(), schema, id)
				}
			}
			spans.traced(t, a, func(a *app.Env) {
				if s, err := Classify(t.Context(), a, true); err != nil || s.New != largeRows {
					t.Fatalf("found %+v, %v", s, err)
				}
			})
			l.check(t)
			l.ingest(t, a)
			if s, err := Classify(t.Context(), a, true); err != nil || s.Repeated != largeRows || s.New != 0 {
				t.Fatalf("found %+v, %v, want repeats", s, err)
			}
			l.check(t)
			if name == "folder" {
				if files := filesIn(t, place); len(files) != largeRows {
					t.Errorf("found the objects %q, want one per volume", files)
				}
			}
			sent := map[string]*otlp.Span{}
			for _, s := range spans.spans["ingest"] {
				sent[string(s.GetSpanId())] = s
			}
			if len(sent) != largeRows || len(spans.spans["classify"]) != largeRows {
				t.Fatalf("found %d spans of ingest and %d of classify", len(sent), len(spans.spans["classify"]))
			}
			for _, s := range spans.spans["classify"] {
				from := sent[string(s.GetParentSpanId())]
				if from == nil || !bytes.Equal(from.GetTraceId(), s.GetTraceId()) {
					t.Errorf("the span %v does not continue the trace of ingest", s)
				}
			}
		})
	}
}

// TestObjectsAway: while the place of the objects cannot be read, nothing becomes a dead letter and nothing is committed.
func TestObjectsAway(t *testing.T) {
	place := filepath.Join(t.TempDir(), "objects")
	l := newLarge(t, place)
	a := l.env(t)
	l.ingest(t, a)
	if err := os.Rename(place, place+"-away"); err != nil {
		t.Fatal(err)
	}
	s, err := Classify(t.Context(), a, true)
	if f, ok := errors.AsType[*pipeline.Failure](err); !ok || f.Stage != "decode" || f.Attempts != 2 || s == nil {
		t.Fatalf("found %+v, %v, want a failure after 2 attempts", s, err)
	}
	if dead := onTopic(t, a, "volumes.dlq"); len(dead) != 0 {
		t.Errorf("found %d dead letters", len(dead))
	}
	if err := os.Rename(place+"-away", place); err != nil {
		t.Fatal(err)
	}
	if s, err := Classify(t.Context(), a, true); err != nil || s.New != largeRows {
		t.Fatalf("found %+v, %v", s, err)
	}
	l.check(t)

	// With exhausted: dead-letter, it is counted as other dead letters are.
	l.settings = append(l.settings, "kafka.volumes", "others", "kafka.group", "g2")
	l.ingest(t, l.env(t))
	if err := os.Rename(place, place+"-away"); err != nil {
		t.Fatal(err)
	}
	s, err = Classify(t.Context(), l.env(t, "pipeline.exhausted", "dead-letter"), true)
	if !errors.Is(err, app.ErrDeadLetters) || s.DeadLetters != largeRows || s.Failed != largeRows {
		t.Errorf("found %+v, %v, want %d dead letters", s, err, largeRows)
	}
}

// TestObjectMissing: an object that was removed, and a consumer that has no place, give a dead letter with the message as
// it was. It can be shown with its value and sent back when the cause is cured.
func TestObjectMissing(t *testing.T) {
	place := filepath.Join(t.TempDir(), "objects")
	l := newLarge(t, place)
	a := l.env(t)
	l.ingest(t, a)
	sent := onTopic(t, a, "volumes")
	r, err := sent[1].Reference()
	if err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(place, r.Object())
	if err := os.Rename(object, object+"-away"); err != nil {
		t.Fatal(err)
	}
	s, err := Classify(t.Context(), a, true)
	if !errors.Is(err, app.ErrDeadLetters) || s.Classified != largeRows-1 || s.DeadLetters != 1 || s.Failed != 1 {
		t.Fatalf("found %+v, %v, want 1 dead letter", s, err)
	}
	d := onlyDeadLetter(t, a)
	if d.Stage != "decode" || d.Attempts != 1 || !strings.Contains(d.Error, r.Object()+": not found at "+place) ||
		d.Reference == nil || *d.Reference != *r || len(d.Value) != 0 {
		t.Errorf("found %+v", d)
	}
	if _, err := ValueOf(t.Context(), a, d); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("found %v", err)
	}
	if err := os.Rename(object+"-away", object); err != nil {
		t.Fatal(err)
	}
	value, err := ValueOf(t.Context(), a, d)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := volarrow.Decode(value, d.Key); err != nil || len(b.Volumes) != 1 ||
		b.Volumes[0].ID.String() != d.EventID {
		t.Errorf("found %v, %v", b, err)
	}
	if r, err := Replay(t.Context(), a, ReplayOptions{}); err != nil || r.Replayed != 1 {
		t.Fatalf("found %+v, %v", r, err)
	}
	again := onTopic(t, a, "volumes")
	if back, err := again[len(again)-1].Reference(); err != nil || back == nil || *back != *r {
		t.Errorf("found %v, %v, want the reference and not the bytes", back, err)
	}
	// Consumers without a place say what to set.
	s, err = Classify(t.Context(), l.env(t, "kafka.claim_check", "", "voxelize.grid", "16", "kafka.group", "other",
		"sinks.out", filepath.Join(t.TempDir(), "x.jsonl")), true)
	if !errors.Is(err, app.ErrDeadLetters) || s.Classified != 0 || s.DeadLetters != int64(len(again)) {
		t.Errorf("found %+v, %v, want %d dead letters", s, err, len(again))
	}
	for _, m := range onTopic(t, a, "volumes.dlq")[2:] { // after the first one and the record of its replay
		if d, err := transport.ReadDeadLetter(m); err != nil || !strings.Contains(d.Error, "set kafka.claim_check") {
			t.Errorf("found %+v, %v", d, err)
		}
	}
	if s, err := Classify(t.Context(), a, true); err != nil || s.New != 1 {
		t.Fatalf("found %+v, %v", s, err)
	}
	l.check(t)
}

func onlyDeadLetter(t *testing.T, a *app.Env) *DeadMessage {
	t.Helper()
	var found []DeadLetter
	for d, err := range DeadLetters(t.Context(), a, LetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, d)
	}
	if len(found) != 1 {
		t.Fatalf("found %d dead letters, want 1: %+v", len(found), found)
	}
	d, err := ShowDeadLetter(t.Context(), a, found[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestObjectTooLarge: a volume above the limit of objects is a dead letter of ingest, and one that a producer with a
// higher limit has sent is a dead letter of classify, whose memory it never takes.
func TestObjectTooLarge(t *testing.T) {
	place := filepath.Join(t.TempDir(), "objects")
	l := newLarge(t, place)
	low := []string{"kafka.claim_check_max", "96KiB", "voxelize.grid", "16"}
	a := l.env(t, low...)
	x := make([]float32, 8*16*16*16)
	for i := range x {
		x[i] = float32(i) / 3 // other values could be stored as bytes
	}
	input := writeNPY(t, []int{1, 16, 16, 16, 8}, x)
	s, err := Ingest(t.Context(), a, []string{input})
	if !errors.Is(err, app.ErrDeadLetters) || s.DeadLetters != 1 || s.Volumes != 0 {
		t.Errorf("found %+v, %v, want 1 dead letter", s, err)
	}
	if d := onlyDeadLetter(t, a); !strings.Contains(d.Error, "want at most 98304 (kafka.claim_check_max)") {
		t.Errorf("found %+v", d)
	}
	l.ingest(t, l.env(t))
	c, err := Classify(t.Context(), l.env(t, low...), true)
	if !errors.Is(err, app.ErrDeadLetters) || c.DeadLetters != largeRows || c.Classified != 0 {
		t.Errorf("found %+v, %v, want %d dead letters", c, err, largeRows)
	}
}

// TestObjectsInBudget: an object takes from pipeline.budget before it is read.
func TestObjectsInBudget(t *testing.T) {
	l := newLarge(t, filepath.Join(t.TempDir(), "objects"))
	a := l.env(t)
	l.ingest(t, a)
	small := *a.Config // less than the configuration permits
	small.Pipeline.Budget = 100 << 10
	tight := *a
	tight.Config = &small
	s, err := Classify(t.Context(), &tight, true)
	if !errors.Is(err, app.ErrDeadLetters) || s.Classified != 0 || s.DeadLetters != largeRows {
		t.Errorf("found %+v, %v, want %d dead letters", s, err, largeRows)
	}
	for _, m := range onTopic(t, a, "volumes.dlq") {
		if d, err := transport.ReadDeadLetter(m); err != nil || d.Stage != "budget" {
			t.Errorf("found %+v, %v, want one of the stage budget", d, err)
		}
	}
}

// TestHistoryOfObjects: the page shows a classification with its volume, wherever that is, and the preview of a dead
// letter says where the value is.
func TestHistoryOfObjects(t *testing.T) {
	place := filepath.Join(t.TempDir(), "objects")
	l := newLarge(t, place)
	a := l.env(t, "http.listen", ":0", "kafka.partitions", "1")
	err := a.Serve(t.Context(), func(ctx context.Context, a *app.Env) error {
		a.Stay = true
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() {
			_, err := Run(ctx, a, []string{l.input})
			ended <- err
		}()
		for n := 0; n < largeRows; {
			b, _ := os.ReadFile(l.out) // it does not exist at first
			n = bytes.Count(b, []byte("\n"))
			select {
			case err := <-ended:
				return fmt.Errorf("ended early: %w", err)
			case <-time.After(10 * time.Millisecond):
			}
		}
		f, err := frame.Decode(request(t, a, "GET", "/api/frame?partition=0&offset=0", "", 200))
		if err != nil {
			return err
		}
		h := decoded[frame.Header](t, f.Header)
		if h.Missing != "" || h.Volume == nil || h.Volume.Dims != [3]int{largeSide, largeSide, largeSide} {
			t.Errorf("found %+v", h)
		}
		if err := os.Rename(place, place+"-away"); err != nil {
			return err
		}
		if f, err = frame.Decode(request(t, a, "GET", "/api/frame?partition=0&offset=1", "", 200)); err != nil {
			return err
		}
		if h = decoded[frame.Header](t, f.Header); !strings.Contains(h.Missing, "the folder cannot be read") {
			t.Errorf("found %+v, want why there is no volume", h)
		}
		stop()
		if err := <-ended; !errors.Is(err, app.ErrInterrupted) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m := transport.Message{}.WithReference(transport.Reference{Size: 1 << 30, SHA256: strings.Repeat("ab", 32)})
	if found := preview(m); !strings.Contains(found, "abab.arrow of 1073741824 bytes") {
		t.Errorf("found %s", found)
	}
	m.SetHeader("claim-object", "../x")
	if found := preview(m); !strings.Contains(found, "claim-object") {
		t.Errorf("found %s", found)
	}
}

// TestVolumesOutside: only messages that do not fit are outside, and one that cannot be stored fails alone.
func TestVolumesOutside(t *testing.T) {
	place := t.TempDir()
	vs := cubes("s/1", "s/2", "s/3", "s/4")
	for i, side := range map[int]int{1: 10, 2: 20} {
		vs[i].Dims, vs[i].Index = [3]int{side, side, side}, make([]uint8, side*side*side)
	}
	encoded := func(v voxelize.Volume) int {
		m, err := volumeMessage([]voxelize.Volume{v})
		if err != nil {
			t.Fatal(err)
		}
		return len(m.Value)
	}
	topic, objects := &written{}, claimcheck.New(place, int64(encoded(vs[1])), apptest.New(t).Log)
	s := &volumes{
		topic: topic, limit: 1, backlog: &backlog{limit: 1 << 30}, objects: objects,
		fits: func(m *transport.Message) bool { return len(m.Value) <= encoded(vs[0]) },
	}
	err := s.Write(t.Context(), vs)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || !slices.Equal(slices.Collect(maps.Keys(partial.Failed)), []int{2}) ||
		!pipeline.IsPermanent(partial.Failed[2]) {
		t.Errorf("found %v, want a permanent error of the third volume", err)
	}
	var found []string
	for _, m := range topic.messages {
		r, err := m.Reference()
		found = append(found, fmt.Sprint(m.EventID(), " ", r != nil, " ", err))
	}
	if want := []string{"s/1 false <nil>", "s/2 true <nil>", "s/4 false <nil>"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if files := filesIn(t, place); len(files) != 1 {
		t.Errorf("found %q, want one object", files)
	}
}
