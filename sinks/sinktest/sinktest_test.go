package sinktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// segments is a small sink that is flushed: each flush makes a file of the lines that were written since the last,
// under its name only when it is complete. It stands for the formats that are finished at a flush. defect makes it a
// sink that breaks the contract.
type segments struct {
	dir    string
	defect string
	next   int
	known  *dedupe.Set
	// held are the lines that wait for a flush, and their places among all that was taken since the last one.
	held   []record.Classification
	places []int
	taken  int
	fresh  map[dedupe.Key]bool
}

var segmentsKind = sinks.Kind{
	Name: "segments", Doc: "A folder of files.", Guarantee: sinks.ExactlyOnce, Path: "FOLDER",
	Flush:   &sinks.Flush{Rows: 1000, Bytes: 1 << 20, Every: time.Second},
	Resolve: func(t *sinks.Target, _ sinks.Defaults) (string, error) { return "segments:" + t.Path, nil },
}

const segmentName = "part-%06d.jsonl"

func openSegments(t *testing.T, dir, defect string) *segments {
	t.Helper()
	s := &segments{dir: dir, defect: defect, known: dedupe.NewSet(filepath.Join(dir, "x"), 0), fresh: map[dedupe.Key]bool{}}
	for ; ; s.next++ {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf(segmentName, s.next)))
		if errors.Is(err, os.ErrNotExist) {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var c record.Classification
			if err := json.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			if defect != "forgets what it stored" {
				s.known.Add(dedupe.Of(c.Key()))
			}
		}
	}
}

func (s *segments) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.defect == "counts from the last write" {
		s.taken = 0
	}
	for i := range cs {
		k := dedupe.Of(cs[i].Key())
		known, err := s.known.Has(k)
		if err != nil {
			return err
		}
		if !known && (!s.fresh[k] || s.defect == "repeats what is held back") {
			s.held, s.places = append(s.held, cs[i]), append(s.places, s.taken)
			s.fresh[k] = true
		}
		s.taken++
	}
	return nil
}

func (s *segments) Flush(ctx context.Context) error {
	if s.defect == "forgets after a failed flush" && ctx.Err() != nil {
		s.held, s.places = nil, nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var lines bytes.Buffer
	failed := map[int]error{}
	for i := range s.held {
		line, err := json.Marshal(&s.held[i])
		if err != nil {
			failed[s.places[i]] = pipeline.Permanent(err)
			delete(s.fresh, dedupe.Of(s.held[i].Key()))
			continue
		}
		lines.Write(append(line, '\n'))
	}
	if s.defect != "stores when it is closed" {
		if err := s.store(lines.Bytes()); err != nil {
			return err
		}
	}
	for k := range s.fresh {
		s.known.Add(k)
	}
	if s.defect != "stores when it is closed" {
		s.held, s.places = nil, nil
	}
	s.taken = 0
	clear(s.fresh)
	if len(failed) > 0 {
		return &pipeline.PartialError{Failed: failed}
	}
	return nil
}

// store makes a file of lines.
func (s *segments) store(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	temporary := filepath.Join(s.dir, "temporary")
	if err := os.WriteFile(temporary, lines, 0o600); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(s.dir, fmt.Sprintf(segmentName, s.next))); err != nil {
		return err
	}
	s.next++
	return nil
}

func (s *segments) Close(ctx context.Context) error {
	if s.defect == "stores when it is closed" {
		s.defect = ""
		if err := s.Flush(ctx); err != nil {
			return err
		}
	}
	return s.known.Close()
}

// segmentsIn is a harness of segments in a folder.
func segmentsIn(dir, defect string) Harness {
	return Harness{
		Kind: &segmentsKind,
		Open: func(t *testing.T) sinks.Sink {
			s := openSegments(t, dir, defect)
			if defect == "is no flusher" {
				return struct{ sinks.Sink }{s}
			}
			return s
		},
		Stored: func(t *testing.T) (ids []string) {
			for n := 0; ; n++ {
				b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf(segmentName, n)))
				if errors.Is(err, os.ErrNotExist) {
					return ids
				}
				if err != nil {
					t.Fatal(err)
				}
				for line := range bytes.Lines(b) {
					var c record.Classification
					if err := json.Unmarshal(line, &c); err != nil {
						t.Fatal(err)
					}
					ids = append(ids, c.EventID)
				}
			}
		},
	}
}

func TestSegments(t *testing.T) {
	Run(t, func(t *testing.T) Harness { return segmentsIn(t.TempDir(), "") })
}

func TestSegmentsAreKilled(t *testing.T) {
	Kill(t, func(t *testing.T) string { return t.TempDir() }, func(_ *testing.T, dir string) Harness { return segmentsIn(dir, "") })
}

const envDefect = "SINKTEST_DEFECT"

// TestDefects: the suite notices each way to break the contract, in a case that is about it. The suite runs in a
// process of its own, where it fails.
func TestDefects(t *testing.T) {
	if defect := os.Getenv(envDefect); defect != "" {
		if after, ok := strings.CutPrefix(defect, "kill: "); ok {
			Kill(t, func(t *testing.T) string { return t.TempDir() }, func(_ *testing.T, dir string) Harness {
				return segmentsIn(dir, after)
			})
			return
		}
		Run(t, func(t *testing.T) Harness { return segmentsIn(t.TempDir(), defect) })
		return
	}
	for defect, want := range map[string]string{
		"forgets what it stored":         "drops_repeats_across_restarts",
		"repeats what is held back":      "drops_repeats",
		"forgets after a failed flush":   "cancelled_flush_can_be_repeated",
		"counts from the last write":     "flush_names_what_it_refuses",
		"stores when it is closed":       "stores_in_order",
		"is no flusher":                  "is_declared_as_it_is",
		"kill: forgets what it stored":   "",
		"kill: stores when it is closed": "was settled, and is not stored",
	} {
		t.Run(defect, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestDefects$")
			cmd.Env = append(os.Environ(), envDefect+"="+defect)
			out, err := cmd.CombinedOutput()
			failed := "--- FAIL: TestDefects/" + want
			if strings.HasPrefix(defect, "kill") {
				failed = want
			}
			if err == nil || !bytes.Contains(out, []byte("--- FAIL")) || !bytes.Contains(out, []byte(failed)) {
				t.Errorf("found %v, want that %q fails\n%s", err, want, out)
			}
		})
	}
}
