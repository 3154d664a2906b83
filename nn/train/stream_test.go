package train

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
)

// tape gives the rows of some data one after the other; behind the last it waits until the context ends.
type tape struct {
	d      *Data
	at     int
	stored []string
	used   []int // rows, in the order in which steps took them
}

func (s *tape) Colours() *nn.Palette { return nil }

func (s *tape) Seek(_ context.Context, position json.RawMessage) error {
	s.at = 0
	if position == nil {
		return nil
	}
	return json.Unmarshal(position, &s.at)
}

func (s *tape) Next(ctx context.Context, b *Batch) error {
	for i := range b.Labels {
		if s.at == s.d.Len() {
			<-ctx.Done()
			return ctx.Err()
		}
		var row Batch
		b.row(i, len(b.Labels), &row)
		if err := s.d.Read(s.at, &row); err != nil {
			return err
		}
		s.at++
	}
	for i := range b.Labels {
		s.used = append(s.used, s.at-len(b.Labels)+i)
	}
	return nil
}

func (s *tape) Position() json.RawMessage { return must(json.Marshal(s.at)) }

func (s *tape) Stored(_ context.Context, position json.RawMessage) error {
	s.stored = append(s.stored, string(position))
	return nil
}

// TestFitStream breaks a training off while it waits for the rest of a step, and resumes it with more rows: each
// row is used once, in its order, and the weights are those of the training that had all rows from the beginning.
func TestFitStream(t *testing.T) {
	options := func(m *nn.Model, path string) Options {
		o := everything(m)
		o.Epochs, o.BatchSize = 2, 10
		o.EarlyStopping.Monitor, o.Checkpoint.Path, o.Checkpoint.Resume = "loss", path, true
		return o
	}
	dir := t.TempDir()
	m, all := perceptron(), &tape{d: blobs(100)}
	want := must(FitStream(t.Context(), m, all, 5, options(m, filepath.Join(dir, "whole"))))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path := filepath.Join(dir, "broken")
	broken, some := perceptron(), &tape{d: all.d.Slice(0, 37)}
	o := options(broken, path)
	o.Progress = func(p Progress) error {
		if p.Step == 3 {
			cancel()
		}
		return nil
	}
	if _, err := FitStream(ctx, broken, some, 5, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(some.stored, []string{"30"}) {
		t.Errorf("got positions %v stored, want that behind three steps", some.stored)
	}
	again, rest := perceptron(), &tape{d: all.d}
	got := must(FitStream(t.Context(), again, rest, 5, options(again, path)))
	got.SamplesPerSecond, want.SamplesPerSecond = 0, 0
	if !reflect.DeepEqual(got, want) || !slices.Equal(weights(again), weights(m)) {
		t.Errorf("got another model; history %+v, want %+v", got, want)
	}
	if used := slices.Concat(some.used, rest.used); !slices.Equal(used, all.used) || len(used) != 100 {
		t.Errorf("rows were used as %v", used)
	}
	if _, err := FitStream(t.Context(), perceptron(), all, 0, Options{Epochs: 1, BatchSize: 1}); err == nil {
		t.Error("no steps, and no error")
	}
	o = options(perceptron(), path)
	if _, err := FitStream(t.Context(), perceptron(), rest, 6, o); !errors.Is(err, ErrCheckpoint) ||
		!strings.Contains(err.Error(), "steps of an epoch") {
		t.Errorf("other epochs: got %v", err)
	}
}
