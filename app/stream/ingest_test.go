package stream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// written is a topic in memory, which refuses the messages whose event id it is told.
type written struct {
	messages []transport.Message
	refused  map[string]bool
}

func (w *written) Write(_ context.Context, ms []transport.Message) error {
	failed := map[int]error{}
	for i, m := range ms {
		if w.refused[m.EventID()] {
			failed[i] = errors.New("refused")
			continue
		}
		w.messages = append(w.messages, m)
	}
	if len(failed) > 0 {
		return &pipeline.PartialError{Failed: failed}
	}
	return nil
}

func (*written) Close(context.Context) error { return nil }

// cubes are volumes of those ids.
func cubes(ids ...string) (vs []voxelize.Volume) {
	for _, text := range ids {
		id, err := record.ParseID(text)
		if err != nil {
			panic(err)
		}
		vs = append(vs, voxelize.Volume{
			ID: id, Label: -1, Dims: [3]int{2, 2, 2}, Content: voxelize.PaletteContent("Oranges"), Index: make([]uint8, 8),
		})
	}
	return vs
}

// TestMessagesOfVolumes: which volumes share a message, its event id, and the header that names its schema.
func TestMessagesOfVolumes(t *testing.T) {
	raw := cubes("s/1", "s/2", "s/3", "s/4")
	for i := range raw[1:] {
		raw[1+i].Content, raw[1+i].Index, raw[1+i].Values = voxelize.FloatContent(1), nil, make([]float32, 8)
	}
	raw[3].Content, raw[3].Values = voxelize.FloatContent(2), make([]float32, 16)
	small := cubes("s/1", "s/2")
	small[1].Dims, small[1].Index = [3]int{1, 2, 2}, make([]uint8, 4)
	for name, tt := range map[string]struct {
		vs    []voxelize.Volume
		limit int
		want  []string // event id and schema
	}{
		"scans": {cubes("s/7", "s/8", "s/9"), 1000, []string{"s/7-9", "volumes/1"}},
		"one":   {cubes("s/7"), 1000, []string{"s/7", "volumes/1"}},
		"streams": {
			cubes("s/7", "s/8", "t/1", "s/9"), 1000,
			[]string{"s/7-8", "volumes/1", "t/1", "volumes/1", "s/9", "volumes/1"},
		},
		"objects": {cubes("s/17#1", "s/17#2", "s/18#1~4"), 1000, []string{"s/17#1-18#1~4", "volumes/2"}},
		"views":   {cubes("s/17~1", "s/17~2"), 1000, []string{"s/17~1-17~2", "volumes/2"}},
		"split": {
			cubes("s/17#1", "s/17#2", "s/17#3", "s/17#4", "s/17#5"), 16,
			[]string{"s/17#1-17#2", "volumes/2", "s/17#3-17#4", "volumes/2", "s/17#5", "volumes/2"},
		},
		"large":    {cubes("s/1", "s/2"), 5, []string{"s/1", "volumes/1", "s/2", "volumes/1"}},
		"contents": {raw, 1000, []string{"s/1", "volumes/1", "s/2-3", "volumes/2", "s/4", "volumes/2"}},
		"bytes":    {raw[1:3], 63, []string{"s/2", "volumes/2", "s/3", "volumes/2"}},
		"sizes":    {small, 1000, []string{"s/1", "volumes/1", "s/2", "volumes/1"}},
	} {
		topic := &written{}
		if err := (&volumes{topic: topic, limit: tt.limit, backlog: &backlog{limit: 1 << 30}}).Write(t.Context(),
			tt.vs); err != nil {
			t.Fatal(name, err)
		}
		var found []string
		var sent []voxelize.Volume
		for _, m := range topic.messages {
			schema, _ := m.Header(transport.HeaderSchema)
			found = append(found, m.EventID(), schema)
			batch, err := volarrow.Decode(m.Value, string(m.Key))
			if err != nil {
				t.Fatal(name, err)
			}
			sent = append(sent, batch.Volumes...)
		}
		if !slices.Equal(found, tt.want) {
			t.Errorf("%s: found %v, want %v", name, found, tt.want)
		}
		if !slices.EqualFunc(sent, tt.vs, func(a, b voxelize.Volume) bool { return a.ID == b.ID && a.Content == b.Content }) {
			t.Errorf("%s: found volumes %v, want %v", name, sent, tt.vs)
		}
	}
}

// TestRefusedMessages: all volumes of a message that the topic refuses have failed, and no others.
func TestRefusedMessages(t *testing.T) {
	vs := cubes("s/1", "s/2", "s/3", "s/4", "t/1", "s/5")
	vs[4].Index = nil // cannot be encoded
	s := &volumes{topic: &written{refused: map[string]bool{"s/3-4": true}}, limit: 16, backlog: &backlog{limit: 1 << 30}}
	err := s.Write(t.Context(), vs)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok {
		t.Fatalf("found %v, want failures of single volumes", err)
	}
	if found := slices.Sorted(maps.Keys(partial.Failed)); !slices.Equal(found, []int{2, 3, 4}) {
		t.Errorf("found failures %v, want those of 2, 3 and 4", partial.Failed)
	}
	// s/1-2 and s/5 were sent.
	if volumes, messages := s.volumes.Load(), s.messages.Load(); volumes != 3 || messages != 2 {
		t.Errorf("counted %d volumes and %d messages, want 3 and 2", volumes, messages)
	}
}
