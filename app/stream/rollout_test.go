package stream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/telemetry"
	"github.com/voxelstream/voxelstream/voxelize"
)

// events counts what an observer is told, by part and event.
type events struct {
	mu    sync.Mutex
	count map[string]int
	timed map[string]int // values, by part
}

func (e *events) Count(part string, event pipeline.Event, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.count == nil {
		e.count = map[string]int{}
	}
	e.count[part+" "+string(event)] += n
}

func (e *events) Time(part string, n int, _ time.Duration, _ error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timed == nil {
		e.timed = map[string]int{}
	}
	e.timed[part] += n
}

func (e *events) Level(string, pipeline.Level, int64)      {}
func (e *events) of(part string, event pipeline.Event) int { return e.count[part+" "+string(event)] }

// trialBroker starts a broker and sends grids of several streams to it. It returns settings for the other commands,
// and the number of volumes.
func trialBroker(t *testing.T, streams, rows int, more ...string) (settings []string, volumes int) {
	t.Helper()
	broker, err := StartBroker(apptest.New(t, "broker.data_dir", filepath.Join(t.TempDir(), "kafka")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	settings = append([]string{"kafka.brokers", broker.Address, "pipeline.batch", "8", "pipeline.drain", "5m"}, more...)
	var files []string
	for s := range streams {
		x := make([]float32, rows*16*16*16)
		for i := range x {
			x[i] = float32((i*i + s*(i%97) + i/4096*5) % 13)
		}
		files = append(files, writeNPY(t, []int{rows, 16, 16, 16}, x))
	}
	if _, err := Ingest(t.Context(), apptest.New(t, settings...), files); err != nil {
		t.Fatal(err)
	}
	return settings, streams * rows
}

// groups counts the consumer groups of summarized.
var groups int

// summarized classifies everything on the topic as a new group.
func summarized(t *testing.T, o pipeline.Observer, settings []string, more ...string) *Summary {
	t.Helper()
	groups++
	a := apptest.New(t, slices.Concat(settings, []string{"kafka.group", fmt.Sprint("group", groups)}, more)...)
	a.Observer = o
	s, err := Classify(t.Context(), a, true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// classifyAll is summarized with the classifications.
func classifyAll(
	t *testing.T, o pipeline.Observer, settings []string, more ...string,
) (*Summary, []record.Classification) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "c.jsonl")
	s := summarized(t, o, settings, append(more, "sinks.out", out)...)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var all []record.Classification
	for d := json.NewDecoder(strings.NewReader(string(data))); d.More(); {
		var c record.Classification
		if err := d.Decode(&c); err != nil {
			t.Fatal(err)
		}
		c.LatencyMS = 0
		all = append(all, c)
	}
	return s, all
}

// byID sorts classifications by volume. No volume may have two.
func byID(t *testing.T, cs []record.Classification) map[string]record.Classification {
	t.Helper()
	out := map[string]record.Classification{}
	for _, c := range cs {
		out[c.EventID] = c
	}
	if len(out) != len(cs) {
		t.Errorf("found %d classifications of %d volumes, want one of each", len(cs), len(out))
	}
	return out
}

// TestModelInfo: the metric names the model on trial beside the one that serves.
func TestModelInfo(t *testing.T) {
	settings, _ := trialBroker(t, 1, 4)
	for _, mode := range []string{modeShadow, modeCanary} {
		a := apptest.New(t, slices.Concat(settings, []string{
			"kafka.group", "info-" + mode, "sinks.out", filepath.Join(t.TempDir(), "c.jsonl"),
			"model." + mode, filepath.Join(modelFolder(t), "other.safetensors"),
		})...)
		a.Metrics = telemetry.New(telemetry.Options{})
		if _, err := Classify(t.Context(), a, true); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		a.Metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if n := strings.Count(w.Body.String(), "\nvoxelstream_model_info{"); n != 2 {
			t.Errorf("%s: the metric names %d models, want 2", mode, n)
		}
	}
}

// TestSummaryOfFailure: a worker that ends with an error says what it has done until then.
func TestSummaryOfFailure(t *testing.T) {
	settings, _ := trialBroker(t, 1, 4)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer refusing.Close()
	a := apptest.New(t, slices.Concat(settings, []string{
		"kafka.group", "failing", "sinks.out", "webhook+" + refusing.URL,
		"pipeline.exhausted", "stop", "pipeline.attempts", "1",
	})...)
	s, err := Classify(t.Context(), a, true)
	if err == nil || s == nil {
		t.Errorf("found summary %v and error %v, want both", s, err)
	}
}

// TestShadow: a shadow model changes nothing about the classifications, and the comparison is what the two models say
// when each of them classifies alone.
func TestShadow(t *testing.T) {
	settings, n := trialBroker(t, 5, 24)
	other := filepath.Join(modelFolder(t), "other.safetensors")
	_, plain := classifyAll(t, nil, settings)
	_, byOther := classifyAll(t, nil, settings, "model.path", other)
	seen := &events{}
	s, shadowed := classifyAll(t, seen, settings, "model.shadow", other)
	want, alone := byID(t, plain), byID(t, byOther)
	if got := byID(t, shadowed); !maps.EqualFunc(got, want, func(a, b record.Classification) bool {
		return fmt.Sprint(a.Key(), a.Class, a.Score, a.TopK) == fmt.Sprint(b.Key(), b.Class, b.Score, b.TopK)
	}) {
		t.Error("found other classifications than without a shadow model")
	}
	r := s.Rollout
	if r == nil || r.Shadow == nil || r.Mode != "shadow" || r.Failed != "" {
		t.Fatalf("found %+v", r)
	}
	pairs, agreed, difference := map[[2]int]int{}, 0, 0.0
	for id, a := range want {
		b := alone[id]
		difference += (float64(b.Score) - float64(a.Score)) / float64(n)
		if a.Class == b.Class {
			agreed++
		} else {
			pairs[[2]int{a.Class, b.Class}]++
		}
	}
	got := map[[2]int]int{}
	for i, d := range r.Shadow.Disagreements {
		got[[2]int{d.Serving, d.Candidate}] = d.Volumes
		if i > 0 && d.Volumes > r.Shadow.Disagreements[i-1].Volumes {
			t.Errorf("found %+v, want the most frequent first", r.Shadow.Disagreements)
		}
	}
	if len(want) != n || agreed == n {
		t.Fatalf("%d of %d volumes, %d agree: the test proves nothing", len(want), n, agreed)
	}
	if r.Shadow.Compared != n || r.Shadow.LeftOut != 0 || r.Shadow.Agreed != agreed || !maps.Equal(got, pairs) ||
		math.Abs(*r.Shadow.ScoreDifference-difference) > 1e-6 {
		t.Errorf("found %+v, want %d compared, %d agreed, difference %g, pairs %v", r.Shadow, n, agreed, difference,
			pairs)
	}
	if r.Serving.Volumes != n || r.Candidate.Volumes != n || r.Serving.Name != "digits" || r.Candidate.Name != "other" ||
		r.Serving.MillisPerVolume == nil || *r.Candidate.MillisPerVolume <= 0 || r.Serving.Accuracy != nil {
		t.Errorf("found %+v, %+v", r.Serving, r.Candidate)
	}
	if seen.of("shadow", pipeline.EventCompared) != n || seen.of("shadow", pipeline.EventDisagreed) != n-agreed ||
		seen.of("shadow", pipeline.EventLeftOut) != 0 || seen.of("shadow", pipeline.EventModelRefused) != 0 ||
		seen.timed["network"] != n || seen.timed["shadow network"] != n {
		t.Errorf("found %v, volumes %v", seen.count, seen.timed)
	}

	part := 0
	for id := range want {
		if shareOf(id) < 30 {
			part++
		}
	}
	s, _ = classifyAll(t, nil, settings, "model.shadow", other, "model.shadow_percent", "30")
	if part == 0 || part == n || s.Rollout.Shadow.Compared != part || s.Rollout.Shadow.LeftOut != 0 {
		t.Errorf("30 %%: found %+v, want %d compared", s.Rollout.Shadow, part)
	}

	s, again := classifyAll(t, nil, settings, "model.shadow", "digits") // the model that serves
	if len(again) != n || s.Rollout.Shadow.Compared != 0 || s.Rollout.Shadow.LeftOut != 0 {
		t.Errorf("found %d classifications, %+v", len(again), s.Rollout.Shadow)
	}
}

// shareOf is share as documented: the first 53 bits of the SHA-256, as a percentage of all their values.
func shareOf(text string) float64 {
	sum := sha256.Sum256([]byte(text))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) * (100.0 / (1 << 53))
}

// TestShare: the share of a text never changes, and shares are spread evenly.
func TestShare(t *testing.T) {
	for text, want := range map[string]float64{"": 88.94160, "drive-1a2b/17#3": shareOf("drive-1a2b/17#3")} {
		if got := share(text); math.Abs(got-want) > 1e-4 {
			t.Errorf("%q: found %g, want %g", text, got, want)
		}
	}
	below := 0
	for i := range 10_000 {
		if share(fmt.Sprintf("stream-%d", i)) < 5 {
			below++
		}
	}
	if below < 400 || below > 600 {
		t.Errorf("found %d of 10000 texts below 5 %%", below)
	}
}

// TestCanary: the streams of the canary are classified by it, and all others by the serving model. Nothing is
// classified again when everything is delivered again, and exactly the volumes of newly chosen streams when the
// percentage rises.
func TestCanary(t *testing.T) {
	settings, n := trialBroker(t, 12, 5)
	other := filepath.Join(modelFolder(t), "other.safetensors")
	_, byDigits := classifyAll(t, nil, settings, "sinks.kafka", "false")
	_, byOther := classifyAll(t, nil, settings, "sinks.kafka", "false", "model.path", other)
	alone := []map[string]record.Classification{byID(t, byDigits), byID(t, byOther)}
	// A percentage between the shares, so that some streams are chosen, whatever their names.
	var shares []float64
	for _, c := range byDigits {
		shares = append(shares, share(c.Stream))
	}
	slices.Sort(shares)
	shares = slices.Compact(shares)
	if len(shares) != 12 {
		t.Fatalf("found %d streams, want 12", len(shares))
	}
	percent := func(streams int) float64 { return (shares[streams-1] + shares[streams]) / 2 }
	canary := func(streams int) []string {
		return []string{"model.canary", other, "model.canary_percent", fmt.Sprint(percent(streams))}
	}

	seen := &events{}
	s, cs := classifyAll(t, seen, settings, canary(4)...)
	if seen.timed["network"] != n || seen.timed["canary network"] != 4*5 {
		t.Errorf("found volumes %v, want %d by all networks, %d by the canary", seen.timed, n, 4*5)
	}
	last := map[string]uint64{}
	for id, c := range byID(t, cs) {
		want := alone[0][id]
		if share(c.Stream) < percent(4) {
			want = alone[1][id]
		}
		if c.Model != want.Model || c.Class != want.Class || c.Score != want.Score {
			t.Errorf("%s: found %+v, want %+v", id, c, want)
		}
	}
	for _, c := range cs {
		if seq, ok := last[c.Stream]; ok && c.Seq != seq+1 {
			t.Errorf("found %s after %d, want the order of the stream", c.EventID, seq)
		}
		last[c.Stream] = c.Seq
	}
	r := s.Rollout
	if len(cs) != n || s.New != int64(n) || r.Candidate.Volumes != 4*5 || r.Serving.Volumes != n-4*5 || r.Shadow != nil ||
		r.Failed != "" || s.Failed != 0 {
		t.Errorf("found %d classifications, %+v, %+v", len(cs), s, r)
	}
	s = summarized(t, nil, settings, append(canary(4), "sinks.out", "")...)
	if s.Classified != n || s.New != 0 || s.Repeated != int64(n) {
		t.Errorf("again: found %+v, want no new ones", s)
	}
	s = summarized(t, nil, settings, append(canary(6), "sinks.out", "")...)
	if s.New != 2*5 || s.Repeated != int64(n-2*5) {
		t.Errorf("with 2 more streams: found %d new, %d repeated, want %d new", s.New, s.Repeated, 2*5)
	}
	s = summarized(t, nil, settings, append(canary(2), "sinks.out", "")...) // two streams return to the model
	if s.New != 2*5 || s.Repeated != int64(n-2*5) {
		t.Errorf("with 2 fewer streams: found %d new, %d repeated, want %d new", s.New, s.Repeated, 2*5)
	}
}

// rawModels writes two models of raw values, and a third one that gives NaN for volumes whose first cell is not 0.
func rawModels(t *testing.T) (serving, good, bad string) {
	t.Helper()
	dir := t.TempDir()
	for i, path := range []*string{&serving, &good, &bad} {
		m, err := nn.Sequential("raw", nn.Shape{16, 16, 16, 1}, layers.NewFlatten(), layers.NewDense(3, "softmax"))
		if err != nil {
			t.Fatal(err)
		}
		m.Init(uint64(i))
		if path == &bad {
			w := m.Params()[0].Value
			for class := range 3 {
				w[class] = math.MaxFloat32 // of the first cell: times 2 or more, it is infinite
			}
		}
		*path = filepath.Join(dir, fmt.Sprintf("raw%d.safetensors", i))
		if err := format.Save(*path, m); err != nil {
			t.Fatal(err)
		}
	}
	return serving, good, bad
}

// TestCandidateFails: candidates that fail a check or a volume, or panic, do not harm the classifications.
func TestCandidateFails(t *testing.T) {
	settings, n := trialBroker(t, 6, 5, "voxelize.values", "raw") // the first cell is not 0 in the rows but the first
	serving, good, bad := rawModels(t)
	small := filepath.Join(modelFolder(t), "small.safetensors")
	broken := filepath.Join(filepath.Dir(small), "broken.safetensors")
	settings = append(settings, "model.path", serving)
	_, want := classifyAll(t, nil, settings)
	for _, mode := range []string{modeShadow, modeCanary} {
		for name, c := range map[string]struct{ model, text string }{
			"good": {good, ""}, "NaN": {bad, "NaN"}, "size": {small, "12x12x12"}, "damaged": {broken, "broken"},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				seen := &events{}
				s, cs := classifyAll(t, seen, settings, "model."+mode, c.model, "model.canary_percent", "100")
				r := s.Rollout
				if !strings.Contains(r.Failed, c.text) || (r.Failed == "") != (c.text == "") {
					t.Errorf("found %q, want %q", r.Failed, c.text)
				}
				refused := 1
				if c.text == "" {
					refused = 0
				}
				if seen.of(mode, pipeline.EventModelRefused) != refused {
					t.Errorf("found %v, want %d refused", seen.count, refused)
				}
				got := byID(t, cs)
				if len(got) != n || s.DeadLetters != 0 || s.Failed != 0 {
					t.Errorf("found %d classifications, want %d, %+v", len(got), n, s)
				}
				if mode == modeShadow {
					if r.Shadow.Compared+r.Shadow.LeftOut != n || r.Failed == "" && r.Shadow.LeftOut > 0 {
						t.Errorf("found %+v, want %d volumes", r.Shadow, n)
					}
				}
				if mode == modeCanary && c.text == "" {
					if r.Candidate.Volumes != n || got[want[0].EventID].Model == want[0].Model {
						t.Errorf("found %+v, want all volumes by the canary", r)
					}
					return
				}
				// Volumes that the canary has classified before it failed are its own.
				same := 0
				for _, c := range want {
					if got[c.EventID].Model == c.Model {
						same++
						if got[c.EventID].Score != c.Score {
							t.Errorf("found %+v, want %+v", got[c.EventID], c)
						}
					}
				}
				if mode == modeShadow && same != n || mode == modeCanary && same != r.Serving.Volumes || same == 0 {
					t.Errorf("the serving model has classified %d of %d volumes, want %+v", same, n, r.Serving)
				}
			})
		}
	}
	a := apptest.New(t, append(settings, "model.canary", small+"x")...)
	if _, err := Classify(t.Context(), a, true); !app.IsUsage(err) || !strings.Contains(err.Error(), "model.canary") {
		t.Errorf("found %v, want a usage error", err)
	}
}

// stageFunc is a function used as a batch stage.
type stageFunc func(items []classify.Item) ([]record.Classification, error)

func (f stageFunc) ProcessBatch(_ context.Context, items []classify.Item) ([]record.Classification, error) {
	return f(items)
}

// tryOut returns a rollout of a candidate beside the built-in model.
func tryOut(t *testing.T, mode string, candidate stageFunc) (*rollout, *events) {
	t.Helper()
	seen := &events{}
	a := apptest.New(t)
	n, _, err := newNetwork(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	a.Observer = seen
	r := &rollout{
		app: a, network: n, mode: mode, percent: 100, threads: 1, info: record.Model{Name: "candidate"},
		candidate: candidate, free: func() {},
	}
	if mode == modeShadow {
		r.shadow = newShadow()
		go r.work()
	}
	t.Cleanup(func() {
		r.Close()
		n.Close()
	})
	return r, seen
}

// testItems returns volumes for the built-in model. One of a wrong size is in the middle.
func testItems(n int) (items []classify.Item) {
	for i := range n {
		v := voxelize.Volume{
			ID: record.ID{Stream: "s", Seq: uint64(i)}, Dims: [3]int{16, 16, 16}, Label: int32(i % 10),
			Content: voxelize.PaletteContent("Oranges"), Index: make([]uint8, 16*16*16),
		}
		v.Index[i] = 200
		if i == n/2 {
			v.Dims, v.Index = [3]int{4, 4, 4}, make([]uint8, 64)
		}
		items = append(items, classify.Item{Volume: v})
	}
	return items
}

// TestCandidateAtFault: what the candidate cannot classify is classified by the serving model. Volumes that neither
// can classify are no fault of the candidate.
func TestCandidateAtFault(t *testing.T) {
	answer := func(items []classify.Item) (out []record.Classification) {
		for i := range items {
			out = append(out, record.Classification{
				EventID: items[i].ID.String(), Model: record.Model{Name: "candidate"},
				Score: 0.5,
			})
		}
		return out
	}
	const n = 9
	for name, c := range map[string]struct {
		stage  stageFunc
		failed string
	}{
		"panic": {func([]classify.Item) ([]record.Classification, error) { panic("ouch") }, "ouch"},
		"error": {func([]classify.Item) ([]record.Classification, error) { return nil, errors.New("no") }, "no"},
		"one volume": {func(items []classify.Item) ([]record.Classification, error) {
			return answer(items), pipeline.Partial(map[int]error{n / 2: errors.New("size"), 2: errors.New("third")})
		}, "third"},
		"fault of the volume": {func(items []classify.Item) ([]record.Classification, error) {
			return answer(items), pipeline.Partial(map[int]error{n / 2: errors.New("size")})
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, seen := tryOut(t, modeCanary, c.stage)
			r.network.try(r.info)
			for round := range 2 {
				items := testItems(n)
				out, err := r.ProcessBatch(t.Context(), items)
				bad, ok := failures(err)
				if !ok || len(bad) != 1 || bad[n/2] == nil || len(out) != n {
					t.Fatalf("round %d: found %d results, %v, want an error of volume %d", round, len(out), err, n/2)
				}
				for i := range out {
					byCandidate := out[i].Model.Name == "candidate"
					if i != n/2 && (out[i].EventID != items[i].ID.String() || byCandidate != (c.failed == "")) {
						t.Errorf("round %d: found %+v", round, out[i])
					}
				}
			}
			found := r.report().Failed
			if (found == "") != (c.failed == "") || !strings.Contains(found, c.failed) ||
				seen.of(modeCanary, pipeline.EventModelRefused) != min(1, len(c.failed)) {
				t.Errorf("found %q, %v, want %q", found, seen.count, c.failed)
			}
			if trial := r.network.trial; (trial == record.Model{}) != (c.failed != "") {
				t.Errorf("found %v on trial after error %q", trial, c.failed)
			}
		})
	}

	r, seen := tryOut(t, modeShadow, func([]classify.Item) ([]record.Classification, error) { panic("ouch") })
	out, err := r.ProcessBatch(t.Context(), testItems(n))
	if _, ok := failures(err); !ok || len(out) != n || out[0].Model.Name != "digits" {
		t.Errorf("found %d results, %v", len(out), err)
	}
	r.finish(nil, time.Minute)
	if s := r.report(); s.Failed != "panic: ouch" || s.Shadow.Compared != 0 || s.Shadow.LeftOut != n-1 ||
		seen.of(modeShadow, pipeline.EventLeftOut) != n-1 {
		t.Errorf("found %+v, %+v", s, s.Shadow)
	}
	if out, err = r.ProcessBatch(t.Context(), testItems(n)); len(out) != n {
		t.Errorf("after the end: found %d results, %v", len(out), err)
	}
	if s := r.report().Shadow; s.LeftOut != 2*(n-1) {
		t.Errorf("found %+v, want all left out", s)
	}
}

// TestShadowWaits: a shadow model waits while a network that serves is busy. Nobody waits for it: what does not fit
// into its queue is left out.
func TestShadowWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShadow()
		close(s.done)
		got := make(chan []sample, 10)
		go func() {
			for {
				b := s.next()
				s.free(b)
				got <- b
				if b == nil {
					return
				}
			}
		}()
		s.enter()
		s.enter()
		for i := range shadowBatch + 2 {
			if s.reserve(i) {
				s.add(sample{bytes: i})
			}
		}
		for range 2 {
			synctest.Wait()
			if len(got) != 0 {
				t.Fatal("the shadow model works while a network is busy")
			}
			s.leave()
		}
		synctest.Wait()
		if a, b := <-got, <-got; len(a) != shadowBatch || len(b) != 2 || a[1].bytes != 1 || s.bytes != 0 {
			t.Errorf("found %d and %d volumes, %d bytes", len(a), len(b), s.bytes)
		}
		s.enter()
		if !s.reserve(maxShadow-1) || s.reserve(2) {
			t.Errorf("found %d bytes, want %d and no room for 2 more", s.bytes, maxShadow-1)
		}
		s.add(sample{bytes: maxShadow - 1})
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.leave()
		synctest.Wait()
		if a, b := <-got, <-got; len(a) != 1 || b != nil {
			t.Errorf("found %d volumes and %v, want the last one and the end", len(a), b)
		}
	})
	started, gate := make(chan struct{}), make(chan struct{})
	r, _ := tryOut(t, modeShadow, func([]classify.Item) ([]record.Classification, error) {
		close(started)
		<-gate
		return nil, errors.New("over")
	})
	offer := func(bytes int) {
		items := testItems(1)
		items[0].Index = make([]uint8, bytes)
		r.offer(items, []record.Classification{{EventID: "s/0"}}, 0)
	}
	offer(maxShadow / 4)
	<-started // with a batch of one, until the gate opens
	for range 8 {
		offer(maxShadow / 4)
	}
	if s := r.report().Shadow; s.LeftOut != 8-2 {
		t.Errorf("found %d left out of 8, want all but 2 that fit beside the one at work", s.LeftOut)
	}
	close(gate)
}

// TestAnnouncement: an announced model is used if it passes all checks. Otherwise the one in use remains.
func TestAnnouncement(t *testing.T) {
	folder := modelFolder(t)
	at := func(name string) string { return filepath.Join(folder, name) }
	path := at("announcement.json")
	seen := &events{}
	a := apptest.New(t, "model.announcement", path)
	n, _, err := newNetwork(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	a.Observer = seen
	w := &announced{app: a, network: n, path: path}
	now := time.Unix(0, 0)
	// check checks after a time and wants a model to be in use, and a number of refusals so far.
	check := func(what string, later time.Duration, model string, refused int) {
		t.Helper()
		now = now.Add(later)
		w.check(t.Context(), now)
		if current, _ := n.inUse(); current.Info.Name != model ||
			seen.of("announcement", pipeline.EventModelRefused) != refused {
			t.Errorf("%s: found model %s, %v, want %s, %d refused; the last problem is %q", what, current.Info.Name,
				seen.count, model, refused, w.problem)
		}
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	digest := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	announce := func(name, digest string) {
		t.Helper()
		write("announcement.json", fmt.Sprintf(`{"model": %q, "sha256": %q}`, name, digest))
	}
	check("no file", 0, "digits", 0)
	announce("other.safetensors", strings.ToUpper(digest("other.safetensors")))
	check("a good model", time.Second, "other", 0)
	check("nothing new", time.Hour, "other", 0)
	if _, previous := n.inUse(); previous.Info.Name != "digits" {
		t.Errorf("found previous model %s", previous.Info.Name)
	}
	for i, c := range []struct{ content, want string }{
		{`{"model": "other.safetensors"}`, "64 hexadecimal digits"},
		{`{"model": "other.safetensors", "sha256": "` + digest("other.safetensors") + `", "x": 1}`, "unknown field"},
		{`{"model": "", "sha256": "` + digest("other.safetensors") + `"}`, "64 hexadecimal digits"},
		{`{"model": "other.safetensors", "sha256": "` + digest("other.safetensors") + `"}{}`, "more than one"},
		{`{"mod`, "unexpected EOF"},
		{strings.Repeat(" ", maxAnnouncement) + "{}", "more than 65536 bytes"},
		{`{"model": "small.safetensors", "sha256": "` + digest("small.safetensors") + `"}`, "12x12x12"},
		{`{"model": "broken.safetensors", "sha256": "` + digest("broken.safetensors") + `"}`, "broken"},
		{`{"model": "small.safetensors", "sha256": "` + digest("other.safetensors")[:63] + `0"}`, "found SHA-256"},
		{`{"model": "later.safetensors", "sha256": "` + digest("small.safetensors") + `"}`, "no such file"},
	} {
		write("announcement.json", c.content)
		check(c.want, time.Hour, "other", i+1)
		if !strings.Contains(w.problem, c.want) {
			t.Errorf("found problem %q, want %q", w.problem, c.want)
		}
	}
	const refused = 10
	check("too early to try again", announcementPoll/2, "other", refused)
	check("not there yet", announcementPoll, "other", refused+1)
	check("the pause is longer", announcementPoll, "other", refused+1)

	// A model whose test vector does not match, until it does.
	m, err := format.Load(t.Context(), at("other.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(9)
	if err := format.Save(at("later.safetensors"), m); err != nil {
		t.Fatal(err)
	}
	input := make([]float32, 16*16*16*3)
	writeRows(t, at("later.test_input.npy"), []int{1, 16, 16, 16, 3}, input)
	writeRows(t, at("later.test_output.npy"), []int{1, 10}, make([]float32, 10))
	announce("later.safetensors", digest("later.safetensors"))
	check("a wrong test vector", time.Hour, "other", refused+2)
	if !strings.Contains(w.problem, "later.test_output.npy") {
		t.Errorf("found problem %q", w.problem)
	}
	plan, err := m.Compile(1, nn.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	copy(plan.Input(0), input)
	if err := plan.Forward(1, false, 0); err != nil {
		t.Fatal(err)
	}
	writeRows(t, at("later.test_output.npy"), []int{1, 10}, plan.Output(0))
	check("the right test vector", time.Hour, "later", refused+2)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("the announcement is removed", time.Hour, "later", refused+2)
	announce("other.safetensors", digest("other.safetensors"))
	check("back", time.Second, "other", refused+2)

	// An announcement that cannot be read for a while announces nothing new, so the choice of a client remains.
	if err := n.Rollback(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	check("a folder", time.Second, "later", refused+3)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	announce("other.safetensors", digest("other.safetensors"))
	check("readable again", time.Hour, "later", refused+3)
	if w.problem != "" {
		t.Errorf("found problem %q, want none", w.problem)
	}
}

func writeRows(t *testing.T, path string, shape []int, x []float32) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(array.WriteFloat32(f, shape, x), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestShadowCopies: what waits for a shadow model has memory of its own, because the source reuses that of a volume.
func TestShadowCopies(t *testing.T) {
	v := voxelize.Volume{Index: []uint8{1}, Values: []float32{1}, Box: &record.Box{}, Distance: &record.Distance{}}
	c := copied(&v)
	v.Index[0], v.Values[0] = 2, 2
	if c.Index[0] != 1 || c.Values[0] != 1 || c.Box != nil || c.Distance != nil || c.Velocity != nil || c.Pose != nil {
		t.Errorf("found %+v", c)
	}
}
