package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// lettersOf lists dead letters.
func lettersOf(t *testing.T, a *app.Env, f LetterFilter) (out []DeadLetter) {
	t.Helper()
	if err := f.Prepare(); err != nil {
		t.Fatal(err)
	}
	for d, err := range DeadLetters(t.Context(), a, f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// TestReplayWhileRunning: dead letters are listed and sent back while another process runs the embedded broker. Each
// is sent once, even if several filters select it. A dry run sends nothing.
func TestReplayWhileRunning(t *testing.T) {
	a := apptest.New(t, "broker.data_dir", filepath.Join(t.TempDir(), "kafka"))
	cl, err := connect(t.Context(), a) // holds the data directory, as a running process does
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cl.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	letter := func(stream, topic, stage, reason string, replays string) {
		value := reason
		if topic == "" { // of an item that never was a message
			value = `{"input": "a.pcd"}`
		}
		m := transport.New(stream, stream+"-"+reason, "text/plain", []byte(value))
		if replays != "" {
			m.SetHeader(transport.HeaderReplays, replays)
		}
		if _, err := cl.producer.Produce(t.Context(), "volumes.dlq", transport.DeadLetterOf(m, transport.DeadLetter{
			Topic: topic, Partition: 1, Offset: 7, Stage: stage, Error: reason, Attempts: 1, Time: time.Now(),
			Gone: reason == "vanished",
		})); err != nil {
			t.Fatal(err)
		}
	}
	letter("north", "volumes", "decode", "Bad magic", "")
	letter("north", "volumes", "classify", "too small", "")
	letter("south", "volumes", "classify", "too large", "2")
	letter("south", "volumes", "classify", "poison", "3")
	letter("south", "secret", "classify", "elsewhere", "")
	letter("south", "volumes", "classify", "vanished", "")
	letter("west", "", "ingest", "no such file", "")
	letter("west", "", "voxelize", "empty", "")

	if all := lettersOf(t, a, LetterFilter{}); len(all) != 8 {
		t.Fatalf("found %d dead letters, want 8", len(all))
	}
	replay := func(f LetterFilter, o ReplayOptions) Replayed {
		t.Helper()
		if err := f.Prepare(); err != nil {
			t.Fatal(err)
		}
		o.Filter, o.MaxReplays = f, DefaultMaxReplays
		r, err := Replay(t.Context(), a, o)
		if r == nil || r.Left > 0 != (err != nil) {
			t.Fatalf("found %+v, %v", r, err)
		}
		return *r
	}
	dry := 0
	for i, c := range []struct {
		filter  LetterFilter
		options ReplayOptions
		want    Replayed
		onTopic int
	}{
		{
			LetterFilter{},
			ReplayOptions{DryRun: true, Each: func(DeadLetter) { dry++ }},
			Replayed{Replayed: 3, Left: 3, NeverMessages: 2, DryRun: true},
			0,
		},
		{LetterFilter{Stage: "decode"}, ReplayOptions{}, Replayed{Replayed: 1}, 1},
		{LetterFilter{Stage: "decode"}, ReplayOptions{}, Replayed{Before: 1}, 1},
		{LetterFilter{Reason: "TOO"}, ReplayOptions{Rate: 1e6}, Replayed{Replayed: 2}, 3},
		{LetterFilter{}, ReplayOptions{}, Replayed{Before: 3, Left: 3, NeverMessages: 2}, 3},
		{LetterFilter{Stage: "ingest"}, ReplayOptions{}, Replayed{NeverMessages: 1}, 3},
		{LetterFilter{Stream: "n*"}, ReplayOptions{Again: true}, Replayed{Replayed: 2}, 5},
	} {
		if got := replay(c.filter, c.options); got != c.want {
			t.Errorf("%d: found %+v, want %+v", i, got, c.want)
		}
		n := 0
		for _, err := range cl.client.Records(t.Context(), "volumes", false) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != c.onTopic {
			t.Errorf("%d: found %d messages on the topic, want %d", i, n, c.onTopic)
		}
	}
	if dry != 5 { // the topic of one, and whether another is gone, is only checked when it would be sent
		t.Errorf("the dry run named %d dead letters", dry)
	}
	if n := len(lettersOf(t, a, LetterFilter{Pending: true})); n != 2 { // poison and elsewhere
		t.Errorf("found %d dead letters that can be sent back, want 2", n)
	}
	if all := lettersOf(t, a, LetterFilter{Reason: "/^too (small|large)$/"}); len(all) != 2 || all[0].Replayed == nil ||
		all[0].Replays+all[1].Replays != 2 {
		t.Errorf("found %+v", all)
	}
	for _, d := range lettersOf(t, a, LetterFilter{}) {
		shown, err := ShowDeadLetter(t.Context(), a, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := shown.Headers["dlq-topic"]; ok != (d.Topic != "") {
			t.Errorf("%+v: found the headers %v", d, shown.Headers)
		}
		_, err = ValueOf(t.Context(), a, &DeadMessage{DeadLetter: d})
		if d.Gone != (d.Error == "vanished") || d.Gone != (err != nil && strings.Contains(err.Error(), "gone")) {
			t.Errorf("found %+v, value %v", d, err)
		}
	}
}

// TestPoison: a message that always fails is sent back a limited number of times.
func TestPoison(t *testing.T) {
	dir := t.TempDir()
	common := []string{
		"broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", filepath.Join(dir, "c.jsonl"), "sinks.kafka", "false",
	}
	a := apptest.New(t, common...)
	if _, err := Ingest(t.Context(), apptest.New(t, append(common, "voxelize.grid", "8")...), clouds(t, 1)); err != nil {
		t.Fatal(err)
	}
	o := ReplayOptions{MaxReplays: 2}
	for n := range 3 {
		if s, err := Classify(t.Context(), a, true); s == nil || !errors.Is(err, app.ErrDeadLetters) || s.DeadLetters != 1 {
			t.Fatalf("found %+v, %v", s, err)
		}
		newest := lettersOf(t, a, LetterFilter{Pending: true})
		if len(newest) != 1 || newest[0].Replays != n {
			t.Fatalf("after %d replays: found %+v", n, newest)
		}
		r, err := Replay(t.Context(), a, o)
		if want := min(1, 2-n); r == nil || r.Replayed != want || r.Left != 1-want {
			t.Errorf("after %d replays: found %+v, %v", n, r, err)
		}
		if n == 2 && (err == nil || !strings.Contains(err.Error(), "was sent back 2 times")) {
			t.Errorf("found %v", err)
		}
	}
}

// TestManyLeft: of many dead letters that are left, the first ones are reported with the reason, and the others counted.
// None of them is said to be missing.
func TestManyLeft(t *testing.T) {
	r := replaying{ReplayOptions: ReplayOptions{MaxReplays: 1}, problems: map[string]string{}}
	const more = 3
	for i := range maxLeft + more {
		id := fmt.Sprint("0:", i)
		r.Filter.IDs = append(r.Filter.IDs, id)
		r.problems[id] = "not found"
	}
	for _, id := range r.Filter.IDs {
		if r.selects(&DeadLetter{ID: id, Topic: "volumes", Replays: 1}) {
			t.Errorf("%s was selected", id)
		}
	}
	text := r.errors().Error()
	if strings.Contains(text, "not found") || strings.Count(text, "was sent back once") != maxLeft ||
		!strings.Contains(text, "3 dead letters more are left") {
		t.Errorf("found %s", text)
	}
}

// TestReplayRate: messages are sent at the rate, not faster.
func TestReplayRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := replaying{ReplayOptions: ReplayOptions{Rate: 10}, start: start, recorded: start}
		for range 21 {
			if err := r.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("21 messages took %v, want 2s", got)
		}
	})
}

func TestLetterFilter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := DeadLetter{
		ID: "0:3", Topic: "volumes", Stage: "classify", Error: "network: NaN (in layer 3)", Stream: "cam/1", Time: now,
		partition: 2, offset: 100,
	}
	batch := d
	batch.Last = 120
	for _, c := range []struct {
		f         LetterFilter
		one, many bool
	}{
		{LetterFilter{}, true, true},
		{LetterFilter{IDs: []string{"0:2", "0:3"}}, true, true},
		{LetterFilter{IDs: []string{"0:2"}}, false, false},
		{LetterFilter{Topic: "volumes", Stage: "classify"}, true, true},
		{LetterFilter{Topic: "other"}, false, false},
		{LetterFilter{Stage: "class"}, false, false},
		{LetterFilter{Reason: "nan (IN"}, true, true},
		{LetterFilter{Reason: `/layer \d\)$/`}, true, true},
		{LetterFilter{Reason: `/^layer/`}, false, false},
		{LetterFilter{Stream: "cam/*"}, true, true},
		{LetterFilter{Stream: "cam"}, false, false},
		{LetterFilter{At: "2"}, true, true},
		{LetterFilter{At: "1"}, false, false},
		{LetterFilter{At: "2:100"}, true, true},
		{LetterFilter{At: "2:101-130"}, false, true},
		{LetterFilter{At: "2:0-99"}, false, false},
		{LetterFilter{Since: now, Until: now}, true, true},
		{LetterFilter{Since: now.Add(1)}, false, false},
		{LetterFilter{Until: now.Add(-1)}, false, false},
	} {
		if err := c.f.Prepare(); err != nil {
			t.Fatal(err)
		}
		if one, many := c.f.Match(&d), c.f.Match(&batch); one != c.one || many != c.many {
			t.Errorf("%+v: found %t and %t", c.f, one, many)
		}
	}
	for _, f := range []LetterFilter{
		{Reason: "/(/"}, {At: "x"}, {At: "1:"}, {At: "1:5-3"}, {Since: now, Until: now.Add(-1)},
	} {
		if err := f.Prepare(); err == nil {
			t.Errorf("%+v: found no error", f)
		}
	}
}

// TestLook: topics and lag are shown while a process runs the embedded broker, and afterwards. Nothing is created.
func TestLook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	a := apptest.New(t, "broker.data_dir", dir, "kafka.partitions", "1")
	topics := func() (r *TopicsReport, err error) {
		err = Topics(t.Context(), a, nil, false, 0, func(got *TopicsReport) error { r = got; return nil })
		return r, err
	}
	lag := func(names ...string) (r *LagReport) {
		t.Helper()
		if err := Lag(t.Context(), a, names, 0, func(got *LagReport) error { r = got; return nil }); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if _, err := topics(); !app.IsUsage(err) {
		t.Errorf("without data: found %v", err)
	}
	for d, err := range DeadLetters(t.Context(), a, LetterFilter{}) {
		if !app.IsUsage(err) {
			t.Errorf("dead letters without data: found %+v, %v", d, err)
		}
	}
	if _, err := ShowDeadLetter(t.Context(), a, "0:1"); !app.IsUsage(err) {
		t.Errorf("a dead letter without data: found %v", err)
	}
	if _, err := Replay(t.Context(), a, ReplayOptions{}); !app.IsUsage(err) {
		t.Errorf("replay without data: found %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the data directory was created")
	}
	b, err := StartBroker(a)
	if err != nil {
		t.Fatal(err)
	}
	r, err := topics()
	if err != nil || len(r.Topics) != 3 || !r.Topics[0].Missing || len(r.Topics[0].Warnings) != 1 {
		t.Fatalf("without topics: found %+v, %v", r, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Ingest(t.Context(), a, clouds(t, 4)); err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{false, true} {
		if running {
			if b, err = StartBroker(a); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.Close() }()
		}
		if r, err = topics(); err != nil {
			t.Fatal(err)
		}
		v := r.Topics[0]
		if r.Brokers != 1 || v.Topic != "volumes" || v.Messages < 1 || v.Bytes == nil || *v.Bytes <= 0 ||
			v.Oldest == nil || v.Newest == nil || v.CleanupPolicy != "delete" || *v.RetentionMS != 86400_000 ||
			len(v.Warnings) > 0 || len(v.List) != 1 {
			t.Errorf("found %+v", v)
		}
		g := lag().Groups
		if len(g) != 1 || g[0].Group != "voxelstream" || g[0].Lag != 0 || len(g[0].Warnings) != 1 {
			t.Errorf("a group that never was: found %+v", g)
		}
	}
	none := lag("nosuch")
	if g := none.Groups; len(g) != 1 || !g[0].Missing || g[0].State != "" {
		t.Errorf("a group that does not exist: found %+v", g)
	}
	if err := CheckGroups(none, []string{"nosuch"}); !errors.Is(err, ErrNoGroup) {
		t.Errorf("a group that does not exist: found %v", err)
	}
	if err := CheckGroups(none, nil); err != nil {
		t.Errorf("a group that was not named: found %v", err)
	}
	if err := CheckLag(&LagReport{Groups: []GroupReport{{Group: "g", Lag: 5}}}, 4); !errors.Is(err, ErrBehind) {
		t.Errorf("found %v, want that the group is behind", err)
	}
	if err := CheckLag(&LagReport{Groups: []GroupReport{{Group: "g", Lag: 5}}}, 5); err != nil {
		t.Error(err)
	}
}

// stopAt is an observer that ends a context at an event.
type stopAt struct {
	pipeline.Observer
	event pipeline.Event
	stop  func()
}

func (s stopAt) Count(part string, e pipeline.Event, n int) {
	s.Observer.Count(part, e, n)
	if e == s.event {
		s.stop()
	}
}

// TestStoppedService: a service that is stopped has not failed, even if it stored dead letters.
func TestStoppedService(t *testing.T) {
	dir := t.TempDir()
	common := []string{
		"broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", filepath.Join(dir, "c.jsonl"), "sinks.kafka", "false",
	}
	if _, err := Ingest(t.Context(), apptest.New(t, append(common, "voxelize.grid", "8")...), clouds(t, 1)); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t, common...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	a.Observer = stopAt{pipeline.Observed(nil), pipeline.EventDeadLetterStored, stop}
	if s, err := Classify(ctx, a, false); err != nil || s == nil || s.DeadLetters != 1 {
		t.Errorf("found %+v and %v", s, err)
	}
}
