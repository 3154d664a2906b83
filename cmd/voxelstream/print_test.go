package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/bulk"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/doctor"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/learn"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/report"
)

func printed[T any](v *T, text func(io.Writer, *T)) string {
	var b bytes.Buffer
	text(&b, v)
	return b.String()
}

// TestTexts checks the text output of each result.
func TestTexts(t *testing.T) {
	half, auc := 0.5, 0.75
	history := &train.History{
		Loss: []float64{2, 1}, Accuracy: []float64{.25, .5}, ValLoss: []float64{3, 2},
		ValAccuracy: []float64{.125, .25}, BestEpoch: 2, Stopped: true,
	}
	when := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for name, c := range map[string]struct{ got, want string }{
		"summary": {printed(&stream.Summary{
			Inputs: 1, Volumes: 2, Classified: 2, DeadLetters: 3, Labelled: 2, Correct: 1, Accuracy: &half,
			Seconds: 2, PerSecond: 1,
			LatencyMS: app.Quantiles{P50: 1, P99: 2.25}, Model: record.Model{
				Name:    "digits",
				Version: "01234567",
			}, Outputs: []string{"c.jsonl", "topic c"},
			Dropped: []stream.Dropped{{Sink: "d.jsonl", Classifications: 1}},
			Classes: []stream.ClassCount{
				{Class: 1, Volumes: 2, Correct: 1, Accuracy: &half, MeanScore: .5},
				{Class: 10, Volumes: 1, MeanScore: .25},
			},
		}, summaryText), `volumes       2 from 1 input
classified    2 volumes in 2.00 s (1/s), latency p50 1.0 ms, p99 2.2 ms
accuracy      50.00 % (1 of 2)
dead letters  3
dropped       1 classification by d.jsonl
model         digits, version 01234567
results       c.jsonl, topic c

class  volumes  correct  accuracy  mean score
1      2        1        50.0 %    0.500
10     1        -        -         0.250
`},
		"some before": {
			printed(&stream.Summary{Classified: 3, New: 1, Repeated: 2}, summaryText),
			`classified    3 volumes in 0.00 s (0/s), latency p50 0.0 ms, p99 0.0 ms
stored        1 new volume; 2 had been classified and stored before
dead letters  0
model         , version 
results       
`,
		},
		"all before": {
			printed(&stream.Summary{Classified: 1, Repeated: 1}, summaryText),
			`classified    1 volume in 0.00 s (0/s), latency p50 0.0 ms, p99 0.0 ms
stored        nothing new: all volumes had been classified and stored before
dead letters  0
model         , version 
results       
`,
		},
		"classify without volumes": {
			printed(&stream.Summary{}, summaryText),
			`classified    0 volumes in 0.00 s (0/s), latency p50 0.0 ms, p99 0.0 ms
dead letters  0
model         , version 
results       
`,
		},
		"shadow": {
			printed(&stream.Rollout{
				Mode: "shadow", Percent: 12.5, Failed: "NaN",
				Serving: stream.RolloutModel{
					Model: record.Model{Name: "a", Version: "01234567"}, Volumes: 4, Labelled: 2, Correct: 1,
					Accuracy: &half, ECE: &half, MeanScore: &auc, MillisPerVolume: &auc,
				},
				Candidate: stream.RolloutModel{Model: record.Model{Name: "b", Version: "12345678"}},
				Shadow: &stream.ShadowReport{
					Compared: 1, LeftOut: 3, Agreement: &half, ScoreDifference: &auc,
					Disagreements: append(
						[]stream.Disagreement{{Serving: 1, ServingName: "car", Candidate: 2, Volumes: 9}},
						make([]stream.Disagreement, maxDisagreements+1)...)[:maxDisagreements+1],
				},
			}, rolloutText), `
shadow  version   volumes  accuracy  calibration error  mean score  ms per volume
a       01234567  4        50.00 %   0.500              0.750       0.750
b       12345678  0        -         -                  -           -
share      12.5 % of the volumes
failed     NaN
compared   1 volume, 3 left out
agreement  50.00 %, score difference +0.750
differ     1 car -> 2: 9
` + strings.Repeat("differ     0 -> 0: 0\n", maxDisagreements-1) +
				"           1 more pair of classes: see --json\n",
		},
		"canary": {
			printed(&stream.Rollout{Mode: "canary", Percent: 5}, rolloutText), `
canary  version  volumes  accuracy  calibration error  mean score  ms per volume
                 0        -         -                  -           -
                 0        -         -                  -           -
share  5 % of the streams
`,
		},
		"ingest": {
			printed(&stream.IngestSummary{Inputs: 1, Volumes: 2, Messages: 3, DeadLetters: 4, Seconds: 5}, ingestText),
			"1 input: 2 volumes in 3 messages, 4 dead letters, 5.0 s\n",
		},
		"files": {
			printed(&stream.IngestSummary{Inputs: 1, Files: []app.FileOutcome{
				{File: "a.h5", Status: app.FileDone, Rows: 3},
				{File: "b.txt", Status: app.FileSkipped, Error: "hidden"},
				{File: "c.h5", Status: app.FileFailed, Rows: 2, Failed: 1, Error: "row 2: found NaN"},
			}}, ingestText),
			`1 input: 0 volumes in 0 messages, 0 dead letters, 0.0 s
3 files: 1 done, 1 skipped, 1 partial
  partial   c.h5: 1 of 3 rows failed: row 2: found NaN
  skipped   b.txt: hidden
`,
		},
		"simulate": {
			printed(&stream.SimulateSummary{To: "h:1", Stats: simulate.Stats{
				Packets: 2, Bytes: 3,
				Late: 1500 * time.Nanosecond,
			}, Seconds: 4}, simulateText),
			"h:1: 2 packets, 3 bytes in 4.0 s, maximum delay 2µs\n",
		},
		"dead letter": {printed(&stream.DeadMessage{
			DeadLetter: stream.DeadLetter{
				ID: "0:1", EventID: "s/2", Topic: "volumes", At: "3:4", Stage: "decode",
				Error: "why", Attempts: 5, Time: when,
			},
			Key: "s", Ordered: []transport.Header{
				{Key: "b", Value: []byte("1")},
				{Key: "a", Value: []byte("\n")},
			}, Value: []byte("xy"),
		}, deadMessageText), `id        0:1
event     s/2
key       s
from      volumes 3:4
stage     decode
attempts  5
time      2026-01-02T03:04:05.000000006Z
reason    why
header    b: "1"
header    a: "\n"
value     2 bytes: "xy"
`},
		"replayed": {
			printed(&stream.Replayed{DryRun: true, NeverMessages: 20, Before: 1}, replayedText),
			`would replay 0 dead letters; 20 match but were never messages: ingest their inputs again
1 dead letter sent back before, not again
`,
		},
		"replayed all but one": {
			printed(&stream.Replayed{Replayed: 2, NeverMessages: 1}, replayedText),
			"replayed 2 dead letters; 1 matches but was never a message: ingest its input again\n",
		},
		"dead letter of an input": {printed(&stream.DeadMessage{
			DeadLetter: stream.DeadLetter{ID: "0:4", EventID: "s/4", Input: "a.pcd", Stage: "ingest", Time: when},
			Key:        "s", Value: []byte("{}"),
		}, deadMessageText), `id        0:4
event     s/4
key       s
from      a.pcd
stage     ingest
attempts  0
time      2026-01-02T03:04:05.000000006Z
reason    
value     2 bytes: "{}"
`},
		"dead letter with a reference": {printed(&stream.DeadMessage{
			DeadLetter: stream.DeadLetter{ID: "0:2", EventID: "s/3", Topic: "volumes", At: "3:5", Stage: "decode", Time: when},
			Key:        "s", Reference: &transport.Reference{Size: 7, SHA256: "ab"},
		}, deadMessageText), `id        0:2
event     s/3
key       s
from      volumes 3:5
stage     decode
attempts  0
time      2026-01-02T03:04:05.000000006Z
reason    
value     object ab.arrow of 7 bytes, outside Kafka
`},
		"dead letter of a message that is gone": {printed(&stream.DeadMessage{
			DeadLetter: stream.DeadLetter{
				ID: "0:3", EventID: "volumes/3/6", Topic: "volumes", At: "3:6", Time: when, Gone: true,
			},
		}, deadMessageText), `id        0:3
event     volumes/3/6
key       
from      volumes 3:6
stage     
attempts  0
time      2026-01-02T03:04:05.000000006Z
reason    
value     unknown: the message was gone from its topic before it could be copied
`},
		"train": {
			printed(&learn.TrainResult{
				Model: "m.keras", Parameters: 1, Epochs: 2, Rows: 3, SamplesPerSecond: 4,
				History: history,
			}, trainText),
			"m.keras: 1 parameter, 2 epochs over 3 rows, 4 samples/s\nloss 1.0000, accuracy 0.5000, val_loss 2.0000, " +
				"val_accuracy 0.2500, best epoch 2, stopped early\n",
		},
		"evaluate": {
			printed(&learn.EvaluateResult{
				Evaluation: &train.Evaluation{
					Rows: 4, Accuracy: .5, Loss: 1, ECE: .25, K: 3, TopK: 1, AUC: .75, MacroF1: .5,
					Confusion: [][]int{{2, 0}, {2, 0}},
					PerClass: []train.ClassScore{
						{Class: 0, Rows: 2, Precision: .5, Recall: 1, F1: .667, AUC: &auc},
						{Class: 1, Rows: 2},
					},
				},
				Upright: &report.Share{Rows: 2, Accuracy: 1}, Rotated: &report.Share{Rows: 2},
				Called: "model digits (built in)",
			}, func(w io.Writer, r *learn.EvaluateResult) { evaluateText(w, r, 0) }),
			`model digits (built in)
4 rows, accuracy 0.5000, loss 1.0000, calibration error 0.2500
2 rows upright, accuracy 1.0000; 2 rows rotated, accuracy 0.0000
top-3 accuracy 1.0000, AUC 0.7500, macro F1 0.5000

  class  rows  precision  recall     F1     AUC  as 0  as 1
      0     2      0.500   1.000  0.667  0.7500     2     0
      1     2      0.000   0.000  0.000       -     2     0
`,
		},
		"quantize": {printed(&learn.QuantizeResult{
			PrecisionReport: &train.PrecisionReport{
				Kind: "int8", Low: .5, Float: .75, Drop: 25, Rows: 4, Agree: .5,
				Largest: .25, Mean: .125,
			}, Calibration: 2, Model: "q.keras",
		}, quantizeText), `accuracy 0.5000 in int8, 0.7500 in float32: 25.00 percentage points lost on 4 rows, calibrated on 2 other rows
same class for 50.00 % of the rows; probabilities differ by at most 0.2500, and by 0.12500 on average
q.keras: inference in int8; model bench measures its speed
`},
		"generate": {
			printed(&files.GenerateSummary{File: "d.h5", Layout: "vectors", Train: 1, Test: 2, Seed: 3, Seconds: 4},
				generateText),
			"d.h5: layout vectors, 1 row for training, 2 for testing, seed 3, 4.0 s\n",
		},
		"convert": {printed(&files.ConvertSummary{File: "c.pcd", Samples: 1}, convertText), "c.pcd: 1 sample\n"},
		"mesh": {
			printed(&files.ConvertSummary{File: "m.ply", Frames: 2, Mesh: &files.Mesh{Triangles: 3, Edge: .01}},
				convertText),
			"m.ply: mesh of 3 triangles from 2 frames, cell size 0.01 m\n",
		},
		"voxelize": {printed(&files.VoxelizeSummary{
			File: "v.npy", Volumes: 1, Grid: [3]int{4, 5, 6},
			Method: "occupancy", Cells: "colours of colour map gray",
		},
			voxelizeText), "v.npy: 1 volume of 4x5x6 cells, method occupancy, with colours of colour map gray\n"},
		"model": {
			printed(&models.Summary{Table: "table\n", Precision: "int8"}, modelText),
			"table\n Inference precision: int8\n",
		},
		"bench": {
			printed(&models.BenchResult{
				Batch: 1, Mode: "infer", Input: "dense", PerSecond: 2,
				LatencyMS: app.Quantiles{P50: 3, P99: 4}, Threads: 5, Tier: "generic",
			}, benchText),
			"infer, batch size 1, input dense: 2 samples/s, latency p50 3.000 ms, p99 4.000 ms, 5 threads, " +
				"kernels generic\n",
		},
		"verify": {
			printed(&models.VerifyResult{Model: record.Model{Name: "m", Version: "v"}, Passes: 1e-5, Tier: "generic"},
				verifyText),
			"m, version v: maximum difference 1e-05 with optimization passes (tolerance 0.0001), 0 with " +
				"threads; kernels generic\n",
		},
		"build": {
			printed(&app.Build{Version: "1", Commit: "c", Go: "go1", OS: "linux", Arch: "amd64", Tier: "avx2"},
				buildText),
			"voxelstream 1\ncommit  c\ngo      go1 linux/amd64\nhdf5    built without\nkernels avx2\n",
		},
		"lint": {printed(&problems{Problems: []string{"a", "b"}}, problemsText), "a\nb\n"},
		"none": {printed(&problems{}, problemsText), "no problems\n"},
	} {
		if c.got != c.want {
			t.Errorf("%s: found\n%s\nwant\n%s", name, c.got, c.want)
		}
	}
	var b bytes.Buffer
	checksText(&b, []doctor.Check{
		{Name: "disk", OK: true, Found: "full", Advice: "make room"},
		{Name: "hdf5", Found: "none"},
	})
	if want := "ok   disk           full\n                    make room\nFAIL hdf5           none\n"; b.String() != want {
		t.Errorf("doctor: found\n%s\nwant\n%s", &b, want)
	}
	b.Reset()
	settingsText(&b, []config.Setting{{Key: "threads", Text: "4", Origin: "flag --threads"}})
	if want := "KEY      VALUE  ORIGIN\nthreads  4      flag --threads\n"; b.String() != want {
		t.Errorf("settings: found\n%s\nwant\n%s", &b, want)
	}
}

// TestShow: a result is printed, the error beside it or not; without a result nothing is.
func TestShow(t *testing.T) {
	type result struct {
		N int `json:"n"`
	}
	text := func(w io.Writer, r *result) { fmt.Fprintf(w, "%d things\n", r.N) }
	failure := errors.New("failure")
	for _, c := range []struct {
		json bool
		r    *result
		err  error
		want string
	}{
		{false, &result{3}, nil, "3 things\n"},
		{true, &result{3}, nil, "{\"n\":3}\n"},
		{true, &result{3}, failure, "{\"n\":3}\n"},
		{true, nil, failure, ""},
		{false, nil, failure, ""},
	} {
		var b bytes.Buffer
		err := show(&cli{out: &b, json: c.json}, c.r, c.err, text)
		if b.String() != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: found %q and error %v", c, &b, err)
		}
	}
	if err := show(&cli{out: broken{}}, &result{}, nil, text); !errors.Is(err, errBroken) {
		t.Errorf("found %v, want the error of the output", err)
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestDeadLettersPrinted(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	letters := []stream.DeadLetter{
		{ID: "0:1", EventID: "s/1", Topic: "volumes", At: "3:7", Stage: "decode", Error: "why", Time: when},
		{ID: "1:2", EventID: "s/2", Stage: "ingest", Input: "x.pcd", Error: "how", Time: when, Gone: true},
	}
	failure := errors.New("failure")
	list := func(n int, err error) iter.Seq2[stream.DeadLetter, error] {
		return func(yield func(stream.DeadLetter, error) bool) {
			for _, l := range letters[:n] {
				if !yield(l, nil) {
					return
				}
			}
			if err != nil {
				yield(stream.DeadLetter{}, err)
			}
		}
	}
	sent := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	letters[0].Replays, letters[0].Replayed = 2, &sent
	head := "ID   TIME                  STAGE   REPLAYS  SENT BACK             FROM         EVENT  REASON\n" +
		"0:1  2026-01-02T03:04:05Z  decode  2        2026-01-03T00:00:00Z  volumes/3:7  s/1    why\n"
	every := func(*stream.DeadLetter) bool { return true }
	var none bytes.Buffer
	err := (&cli{out: &none}).deadLetters(list(2, nil), func(*stream.DeadLetter) bool { return false })
	if want := "no dead letters match; 2 without the filters\n"; err != nil || none.String() != want {
		t.Errorf("found %q and error %v, want %q", &none, err, want)
	}
	for _, c := range []struct {
		n    int
		err  error
		want string
	}{{0, nil, "no dead letters\n"}, {2, nil, head +
		"1:2  2026-01-02T03:04:05Z  ingest  0        -                     x.pcd        s/2    how (message gone)\n"}, {
		1, failure,
		head,
	}, {0, failure, ""}} {
		var b bytes.Buffer
		if err := (&cli{out: &b}).deadLetters(list(c.n, c.err), every); b.String() != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d: found %q and error %v", c.n, &b, err)
		}
		b.Reset()
		if err := (&cli{out: &b, json: true}).deadLetters(list(c.n, c.err), every); strings.Count(b.String(), "\n") != c.n ||
			!errors.Is(err, c.err) {
			t.Errorf("JSON of %d: found %q and error %v", c.n, &b, err)
		}
	}
}

// run runs a command line and returns what it prints.
func run(args ...string) (string, int) {
	var b bytes.Buffer
	code := (&cli{out: &b}).execute(args)
	return b.String(), code
}

// TestInspectStopped: a signal is not a failure of the files that are left.
func TestInspectStopped(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.xyz", "b.xyz"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("0 0 0\n1 2 3\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out strings.Builder
	c := &cli{out: writerFunc(func(b []byte) (int, error) { // of the first file
		cancel()
		return out.Write(b)
	})}
	err := c.inspectAll(ctx, apptest.New(t), []string{dir}, files.PictureOptions{}, true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("found error %v, want that of the context", err)
	}
	if !strings.Contains(out.String(), "a.xyz") || strings.Contains(out.String(), "b.xyz") {
		t.Errorf("found output %q, want that about the first file", &out)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestInspectPrinted: files that cannot be read are reported in their turn, the others are read, and the first
// readable one is drawn.
func TestInspectPrinted(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"a.xyz": "0 0 0\n1 2 3\n", "b.xyz": "5 5 5\n",
		"junk.bin": "\x00\x01\x02",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, code := run("inspect", "--json", "junk.bin", "a.xyz", "b.xyz", "--png", "p.png")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != exitFailed || len(lines) != 3 {
		t.Fatalf("found exit code %d and %q", code, out)
	}
	var bad struct{ File, Error string }
	if err := json.Unmarshal([]byte(lines[0]), &bad); err != nil || bad.File != "junk.bin" || bad.Error == "" {
		t.Errorf("found %s", lines[0])
	}
	for i, want := range []string{`"count":2`, `"count":1`} {
		if !strings.Contains(lines[1+i], want) {
			t.Errorf("found %s, want %s", lines[1+i], want)
		}
	}
	if _, err := os.Stat("p.png"); err != nil {
		t.Error(err)
	}
	out, code = run("inspect", "a.xyz", "b.xyz")
	if code != exitDone || strings.Count(out, "\n\n") != 1 || !strings.Contains(out, "a.xyz") ||
		!strings.Contains(out, "b.xyz") {
		t.Errorf("found exit code %d and %q", code, out)
	}
}

// TestCommandsPrint: a command prints one JSON document with --json, and text without.
func TestCommandsPrint(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.xyz", []byte("0 0 0\n1 2 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(filepath.Join(testenv.Root(), "app", "models", "builtin", "digits.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("c.safetensors", model, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		keys string
		text string
	}{
		{"version", "version commit go os arch hdf5 tier", "voxelstream " + app.Version},
		{"config lint", "file problems", "no problems"},
		{
			"voxelize c.xyz --out c.npy --grid 8", "file volumes failed grid method cells format points outside",
			"c.npy: 1 volume of 8x8x8 cells",
		},
		{"convert c.xyz c.pcd", "file samples failed", "c.pcd: 1 sample"},
		{"model summary", "name version digest input output layers parameters trainable", "Model: "},
		{"model convert c.safetensors d.safetensors", "model parameters", "d.safetensors: "},
		{
			"model verify", "name version digest max_difference_passes max_difference_threads rows tier",
			"digits, version ",
		},
		{
			"model bench --time 1ms --batch 2", "batch mode samples_per_second latency_ms tier threads input steps",
			"infer, batch size 2",
		},
	} {
		args := strings.Fields(c.line)
		out, code := run(args...)
		if code != exitDone || !strings.HasPrefix(out, c.text) {
			t.Errorf("%s: found exit code %d and %q, want %q", c.line, code, out, c.text)
		}
		if strings.Contains(c.text, ": 1 ") || strings.HasPrefix(c.text, "d.") { // the file exists now
			args = append(args, "--force")
		}
		out, code = run(append(args, "--json")...)
		found := map[string]any{}
		d := json.NewDecoder(strings.NewReader(out))
		if err := d.Decode(&found); err != nil || code != exitDone || d.More() {
			t.Errorf("%s --json: found exit code %d and %q (%v)", c.line, code, out, err)
		}
		keys := strings.Fields(c.keys)
		for _, k := range keys {
			if _, ok := found[k]; !ok {
				t.Errorf("%s --json: found no %s in %s", c.line, k, out)
			}
		}
		if len(found) != len(keys) {
			t.Errorf("%s --json: found %s, want the keys %s", c.line, out, keys)
		}
	}
}

func TestExitCodeOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{app.ErrInterrupted, 1},
		{app.Usage(errors.New("x")), 2},
		{&config.Error{}, 2},
		{fmt.Errorf("x: %w", app.ErrDeadLetters), 3},
		{errors.Join(app.ErrInterrupted, app.ErrDeadLetters), 3},
	} {
		if got := (&cli{started: true}).exitCode(c.err); got != c.want {
			t.Errorf("%v: found %d, want %d", c.err, got, c.want)
		}
	}
	if got := (&cli{}).exitCode(errors.New("unknown flag")); got != exitUsage {
		t.Errorf("before the command began: found %d, want %d", got, exitUsage)
	}
}

// TestNarrowTables: what does not fit a terminal goes below, or is named.
func TestNarrowTables(t *testing.T) {
	r := &learn.EvaluateResult{Evaluation: &train.Evaluation{K: 3}}
	for class := range 10 {
		r.Confusion = append(r.Confusion, make([]int, 10))
		r.PerClass = append(r.PerClass, train.ClassScore{Class: class})
	}
	for width, want := range map[int]string{0: "AUC  as 0", 120: "AUC  as 0", 80: "class  as 0", 40: "is wider than"} {
		var b bytes.Buffer
		evaluateText(&b, r, width)
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "AUC  as 0") != (want == "AUC  as 0") {
			t.Errorf("width %d: found %s, want %q", width, &b, want)
		}
	}
	var b bytes.Buffer
	writeTable(&b, 12, []column{{name: "TOPIC", cells: []string{"volumes"}}, {name: "SIZE", rank: 1, cells: []string{"1"}}})
	if want := "TOPIC\nvolumes\nLeft out for\nwant of\nwidth: SIZE.\n"; b.String() != want {
		t.Errorf("found %q, want %q", &b, want)
	}
}

func TestReprocessTexts(t *testing.T) {
	p := &bulk.Plan{
		Files: 54, Bytes: 11950325, Shards: 4, Uncounted: 54, Unusable: []app.FileOutcome{
			{File: "a", Status: app.FileSkipped, Error: "hidden"}, {File: "b", Status: app.FileFailed, Error: "damaged"},
		},
	}
	want := `54 files, 0 rows, 11.4 MiB, 4 shards
of these, 54 files of an unknown number of rows
left out or failing: 1 skipped, 1 failed
skipped  a: hidden
failed  b: damaged
`
	if got := printed(p, planText); got != want {
		t.Errorf("found\n%s, want\n%s", got, want)
	}
	r := &bulk.Result{
		Rows: 3, Classified: 3, Seconds: 2, Out: "out", Outputs: []string{"results.parquet"},
		Files: []app.FileOutcome{{Status: app.FileDone}, {Status: app.FileResumed}},
	}
	want = "3 rows, 3 classified, 0 failed\n2 files: 1 done, 1 resumed in 2.0 s\nout: results.parquet\n"
	if got := printed(r, reprocessText); got != want {
		t.Errorf("found\n%s, want\n%s", got, want)
	}
}

// TestFormatFlag: errors name the flag of the command that names the format of an input.
func TestFormatFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.unknown", []byte("\x00\x01\x02"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		" --format NAME":       {"inspect", "a.unknown"},
		" --input-format NAME": {"voxelize", "a.unknown", "--out", "x.npy"},
	} {
		var b bytes.Buffer
		(&cli{out: &b, err: &b}).execute(args)
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q: found %q, want %q", args, b.String(), want)
		}
	}
}

// TestInspectFolder: the files of a large folder are counted, by format and by the reason why they cannot be read.
func TestInspectFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range mostDescribed - 2 {
		write(fmt.Sprintf("%02d.xyz", i), "0 0 0\n1 2 3\n")
	}
	for i := range 2 {
		write(fmt.Sprintf("bad%d.bin", i), fmt.Sprintf("\x01\x02%d", i))
	}
	inspect := func(all bool, before ...string) string {
		t.Helper()
		var out strings.Builder
		c := &cli{out: &out}
		err := c.inspectAll(t.Context(), apptest.New(t), append(before, dir), files.PictureOptions{}, all)
		if err == nil {
			t.Error("found no error, want that files cannot be read")
		}
		return out.String()
	}
	if out := inspect(false); strings.Count(out, "\n  format  xyz") != mostDescribed-2 {
		t.Errorf("few files: found\n%s\nwant each of them", out)
	}
	write("more.xyz", "0 0 0\n")
	write("empty.xyz", "")
	out := inspect(false)
	for _, want := range []string{
		fmt.Sprintf("%s: %d files\n", dir, mostDescribed+2), fmt.Sprintf("xyz     points  %d     ", mostDescribed-1),
		"cannot be read: 3 files\n  2, such as bad0.bin: ", "\n  1, empty.xyz: the file is empty\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("many files: found\n%s\nwant %q", out, want)
		}
	}
	if out := inspect(true); strings.Count(out, "\n  format  xyz") != mostDescribed-1 {
		t.Errorf("all: found\n%s\nwant each of them", out)
	}
	if out := inspect(false, filepath.Join(dir, "more.xyz")); !strings.Contains(out, "\n\n"+dir+": ") {
		t.Errorf("a file and many: found\n%s\nwant an empty line between them", out)
	}
	for i := range mostDescribed - 1 {
		write(fmt.Sprintf("%02d.xyz", i), "\x01\x02")
	}
	write("more.xyz", "\x01\x02")
	if out := inspect(false); strings.Contains(out, "such as\n") || !strings.Contains(out, " files\ncannot be read: ") {
		t.Errorf("none that can be read: found\n%s\nwant no table of formats", out)
	}
}
