package stream

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
)

// TestReadingCreatesNothing: commands that read say that their topic does not exist, and create none.
func TestReadingCreatesNothing(t *testing.T) {
	a := apptest.New(t, "broker.data_dir", filepath.Join(t.TempDir(), "kafka"))
	cl, err := dial(t.Context(), a, startBroker, app.ReachTime) // without topics
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cl.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	replay := func(o ReplayOptions) error {
		_, err := Replay(t.Context(), a, o)
		return err
	}
	list := func(a *app.Env) (err error) {
		for _, err = range DeadLetters(t.Context(), a, LetterFilter{}) {
		}
		return err
	}
	show := func(a *app.Env) error {
		_, err := ShowDeadLetter(t.Context(), a, "0:0")
		return err
	}
	const want = "topic volumes.dlq does not exist"
	for name, read := range map[string]func() error{
		"list":             func() error { return list(a) },
		"show":             func() error { return show(a) },
		"replay":           func() error { return replay(ReplayOptions{}) },
		"replay --dry-run": func() error { return replay(ReplayOptions{DryRun: true}) },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found error %v, want %q", name, err, want)
		}
	}
	if err := Topics(t.Context(), a, nil, false, 0, func(r *TopicsReport) error {
		for _, topic := range r.Topics {
			if !topic.Missing {
				t.Errorf("topics: found %s", topic.Topic)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := Lag(t.Context(), a, nil, 0, func(*LagReport) error { return nil }); err != nil {
		t.Error(err)
	}
	state, err := cl.client.DescribeTopics(t.Context())
	if err != nil || len(state.Topics) > 0 {
		t.Errorf("found %+v, %v, want no topic", state, err)
	}
}
