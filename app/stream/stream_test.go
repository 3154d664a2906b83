package stream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
)

// clouds writes n small point clouds that differ, and returns their paths.
func clouds(t *testing.T, n int) []string {
	t.Helper()
	dir, paths := t.TempDir(), []string(nil)
	for i := range n {
		var text strings.Builder
		for j := range 40 {
			fmt.Fprintf(&text, "%d %d %d\n", j%5, j/5, (i+j)%3)
		}
		path := filepath.Join(dir, fmt.Sprintf("cloud%d.xyz", i))
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func lines(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}

// TestRun: the whole pipeline in this process. What cannot be read is a dead letter, and an error beside the result.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "c.jsonl")
	a := apptest.New(t, "broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", out)
	paths := clouds(t, 3)
	s, err := Run(t.Context(), a, paths)
	if err != nil {
		t.Fatal(err)
	}
	if s.Inputs != 3 || s.Volumes != 3 || s.Classified != 3 || s.DeadLetters != 0 || s.Model.Name != "digits" ||
		!slices.Contains(s.Outputs, out) {
		t.Errorf("found %+v", s)
	}
	if s.New != 3 || s.Repeated != 0 || s.Failed != 0 {
		t.Errorf("found %d new, %d repeated, %d failed, want 3 new", s.New, s.Repeated, s.Failed)
	}
	for i, f := range s.Files {
		if want := (app.FileOutcome{File: paths[i], Status: app.FileDone, Rows: 1, New: 1}); f != want {
			t.Errorf("found %+v, want %+v", f, want)
		}
	}
	total := 0
	for _, c := range s.Classes {
		total += c.Volumes
	}
	if total != 3 || lines(t, out) != 3 {
		t.Errorf("found %d volumes in the classes and %d lines, want 3", total, lines(t, out))
	}

	bad := filepath.Join(dir, "bad.pcd")
	if err := os.WriteFile(bad, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Run(t.Context(), a, []string{paths[0], bad})
	if s == nil || !errors.Is(err, app.ErrDeadLetters) || s.Inputs != 2 || s.Volumes != 1 || s.DeadLetters != 1 {
		t.Errorf("found %+v, %v", s, err)
	}
	if s.New != 0 || s.Repeated != 1 || s.Failed != 1 || len(s.Files) != 2 || s.Files[0].Status != app.FileRepeated ||
		s.Files[1].Status != app.FileFailed || s.Files[1].Error == "" {
		t.Errorf("found %+v", s)
	}
	if n := lines(t, out); n != 3 {
		t.Errorf("found %d lines after the same volume came again, want 3", n)
	}

	var letters []DeadLetter
	for d, err := range DeadLetters(t.Context(), a, LetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, d)
	}
	if len(letters) != 1 || letters[0].Input != bad || letters[0].Stage != "ingest" || letters[0].Topic != "" {
		t.Fatalf("found %+v", letters)
	}
	d, err := ShowDeadLetter(t.Context(), a, letters[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if d.DeadLetter != letters[0] || len(d.Headers) == 0 || len(d.Headers) != len(d.Ordered) ||
		d.Bytes != int64(len(d.Value)) {
		t.Errorf("found %+v", d)
	}
	if d, err := ShowDeadLetter(t.Context(), a, "9:9"); d != nil || err == nil {
		t.Errorf("found %+v, %v", d, err)
	}
	if r, err := Replay(t.Context(), a, ReplayOptions{}); err != nil || r.Replayed != 0 { // it never was a message
		t.Errorf("found %+v, %v", r, err)
	}
	r, err := Replay(t.Context(), a, ReplayOptions{Filter: LetterFilter{IDs: []string{letters[0].ID, "9:9"}}})
	if r == nil || r.Replayed != 0 || err == nil || !strings.Contains(err.Error(), "9:9: not found") ||
		!strings.Contains(err.Error(), letters[0].ID+": was never a message") {
		t.Errorf("found %+v, %v", r, err)
	}
}

// TestIngestAndClassify: the two halves by themselves, and dead letters of messages, which can be sent back.
func TestIngestAndClassify(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "c.jsonl")
	common := []string{"broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", out, "sinks.kafka", "false"}
	a := apptest.New(t, common...)
	sent, err := Ingest(t.Context(), a, clouds(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	if sent.Inputs != 4 || sent.Volumes != 4 || sent.Messages < 1 || sent.DeadLetters != 0 {
		t.Errorf("found %+v", sent)
	}
	// Volumes of another size do not fit the model.
	if _, err := Ingest(t.Context(), apptest.New(t, append(common, "voxelize.grid", "8")...),
		clouds(t, 1)); err != nil {
		t.Fatal(err)
	}
	s, err := Classify(t.Context(), a, true)
	if s == nil || !errors.Is(err, app.ErrDeadLetters) || s.Classified != 4 || s.DeadLetters != 1 || s.Failed != 1 ||
		s.Volumes != 5 || s.New != 4 || s.Files == nil || lines(t, out) != 4 {
		t.Fatalf("found %+v, %v", s, err)
	}
	if r, err := Replay(t.Context(), a, ReplayOptions{}); err != nil || r.Replayed != 1 {
		t.Errorf("found %+v, %v", r, err)
	}
	if r, err := Replay(t.Context(), a, ReplayOptions{}); err != nil || r.Replayed != 0 {
		t.Errorf("a second time: found %+v, %v", r, err)
	}
	var letters []DeadLetter
	for d, err := range DeadLetters(t.Context(), a, LetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, d)
	}
	named := ReplayOptions{Filter: LetterFilter{IDs: []string{letters[0].ID}}}
	if r, err := Replay(t.Context(), a, named); err == nil || r.Replayed != 0 || r.Before != 1 {
		t.Errorf("by ID: found %+v, %v", r, err)
	}
	named.Again = true
	if r, err := Replay(t.Context(), a, named); err != nil || r.Replayed != 1 {
		t.Errorf("by ID, again: found %+v, %v", r, err)
	}
	s, err = Classify(t.Context(), a, true) // both copies still do not fit
	if s == nil || !errors.Is(err, app.ErrDeadLetters) || s.Classified != 0 || s.DeadLetters != 2 {
		t.Errorf("found %+v, %v", s, err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	a := apptest.New(t, "broker.data_dir", filepath.Join(dir, "kafka"), "voxelize.grid", "8", "sinks.out",
		filepath.Join(dir, "c.jsonl"))
	if s, err := Run(t.Context(), a, clouds(t, 1)); s != nil || !app.IsUsage(err) {
		t.Errorf("volumes that the model does not take: found %+v, %v", s, err)
	}
	missing := filepath.Join(dir, "missing.xyz")
	if s, err := Run(t.Context(), a, []string{missing}); s != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: found %+v, %v", s, err)
	}
	if s, err := Ingest(t.Context(), a, []string{missing}); s != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: found %+v, %v", s, err)
	}
}

func TestStartBroker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	a := apptest.New(t, "broker.data_dir", dir)
	b, err := StartBroker(a)
	if err != nil {
		t.Fatal(err)
	}
	if b.DataDir != dir || b.Address == "" {
		t.Errorf("found %+v", b)
	}
	if other, err := StartBroker(a); err == nil {
		t.Error("a second broker runs on the same data")
		_ = other.Close()
	}
	s, err := Ingest(t.Context(), apptest.New(t, "kafka.brokers", b.Address), clouds(t, 1))
	if err != nil || s.Volumes != 1 {
		t.Errorf("found %+v, %v", s, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
