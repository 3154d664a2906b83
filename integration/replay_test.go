//go:build unix

package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/stream"
)

// TestReplay: what a model of another size made dead letters of is sent back, and classified by the right one.
func TestReplay(t *testing.T) {
	needHDF5(t)
	w := newWorld(t)
	w.broker()
	digits, other := w.digits("d.h5", 40, 4), w.digits("d12.h5", 20, 5, "--grid", "12")
	w.do(0, "train", other, "--grid", "12", "--epochs", "1", "--out", "m12.safetensors", "-q")
	w.do(0, "ingest", digits, "-q")
	w.do(exitDeadLetters, "classify", "--once", "--model", "m12.safetensors", "--out", "c.jsonl", "-q")
	if n := len(stored(t, w.path("c.jsonl"))); n != 0 {
		t.Fatalf("found %d classifications by a model of another size", n)
	}
	dead := jsonLines[stream.DeadLetter](t, w.do(0, "dlq", "list", "--json").stdout.String())
	if len(dead) == 0 {
		t.Fatal("found no dead letters")
	}
	shown := w.do(0, "dlq", "show", dead[0].ID).stdout.String()
	for _, size := range []string{"16x16x16", "12x12x12"} {
		if !strings.Contains(shown, size) {
			t.Errorf("dlq show: found no %s in %s", size, shown)
		}
	}
	for i, want := range []int{len(dead), 0} { // the second time there is nothing that was not replayed
		r := one[struct{ Replayed int }](t, w.do(0, "dlq", "replay", "--json").stdout.String())
		if r.Replayed != want {
			t.Errorf("replay %d: found %d, want %d", i+1, r.Replayed, want)
		}
	}
	w.do(0, "classify", "--once", "--out", "c.jsonl", "-q")
	got := stored(t, w.path("c.jsonl"))
	want := map[string]bool{}
	for seq := range 40 {
		want[fmt.Sprintf("%s/%d", got[0].Stream, seq)] = true
	}
	wantAll(t, "classifications.jsonl", got, want)
}

// TestTwoModels: a second model of the same volumes adds its own classifications to those of the first.
func TestTwoModels(t *testing.T) {
	needHDF5(t)
	w := newWorld(t)
	w.broker()
	digits := w.digits("d.h5", 20, 3)
	for n, model := range []string{must(smallModel())(t), must(slowModel())(t)} {
		w.do(0, "run", digits, "--model", model, "--out", "c.jsonl", "-q")
		got, onTopic := stored(t, w.path("c.jsonl")), published(t, client(t, w.addr()))
		if len(got) != 20*(n+1) || len(onTopic) != len(got) {
			t.Errorf("after model %d: found %d classifications in the file and %d on the topic, want %d", n+1,
				len(got), len(onTopic), 20*(n+1))
		}
	}
}
