package telemetry_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/telemetry"
)

// scrape is what Prometheus would read.
func scrape(t *testing.T, m *telemetry.Metrics) (families map[string]*dto.MetricFamily, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("found status %d: %s", w.Code, w.Body)
	}
	text = w.Body.String()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families, text
}

// values are the counters and gauges of a family by their labels, as {part="x"}.
func values(f *dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
		slices.Sort(labels)
		out[strings.Join(labels, ",")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return out
}

func TestCounts(t *testing.T) {
	m := telemetry.New(telemetry.Options{
		Version: "1.2.3", Commit: "abc", Kernels: "avx2",
		Workers: func() (int64, int64) { return 7, 2 },
	})
	m.Count("decode", pipeline.EventRead, 3)
	m.Count("decode", pipeline.EventRead, 4)
	m.Count("decode", pipeline.EventRead, 0)
	m.Count("decode", pipeline.EventRead, -5)
	m.Count("sink \xff\n\"x\"", pipeline.EventDropped, 1)
	m.Count("toy", "juggled", 2)
	m.Level("consumer volumes", pipeline.LevelPartitions, 4)
	m.Level("toy", "balls", 5)
	m.Level(pipeline.Partition("volumes", 0), pipeline.LevelLag, 10)
	m.Level(pipeline.Partition("volumes", 1), pipeline.LevelLag, 11)
	m.Level(pipeline.Partition("volumes", 0), pipeline.LevelLag, pipeline.Gone)
	m.Models([2]string{"digits", "1"}, [2]string{"trial", "1"})
	m.Models([2]string{"digits", "2"}, [2]string{"trial", "1"})
	f, text := scrape(t, m)
	for name, want := range map[string]map[string]float64{
		"voxelstream_read_total":                 {`part="decode"`: 7},
		"voxelstream_dropped_total":              {`part="sink ?\n\"x\""`: 1},
		"voxelstream_events_total":               {`event="juggled",part="toy"`: 2},
		"voxelstream_consumer_partitions":        {`part="consumer volumes"`: 4},
		"voxelstream_level":                      {`level="balls",part="toy"`: 5},
		"voxelstream_consumer_lag_messages":      {`partition="1",topic="volumes"`: 11},
		"voxelstream_model_info":                 {`name="digits",version="2"`: 1, `name="trial",version="1"`: 1},
		"voxelstream_hdf5_workers_total":         {"": 7},
		"voxelstream_hdf5_worker_failures_total": {"": 2},
	} {
		if got := values(f[name]); !maps.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "voxelstream_build_info"} {
		if f[name] == nil {
			t.Errorf("found no %s", name)
		}
	}
	if !strings.Contains(text, `commit="abc"`) || !strings.Contains(text, `version="1.2.3"`) ||
		!strings.Contains(text, `kernels="avx2"`) {
		t.Errorf("found build info %v", values(f["voxelstream_build_info"]))
	}
}

func TestTime(t *testing.T) {
	m := telemetry.New(telemetry.Options{})
	m.Time("infer", 64, 3*time.Millisecond, nil)
	m.Time("infer", 8, 40*time.Millisecond, errors.New("no answer"))
	m.Time("infer", 8, time.Hour, &pipeline.PartialError{Failed: map[int]error{1: pipeline.Permanent(errors.New("bad"))}})
	m.Time("infer", 1, 0, pipeline.Permanent(errors.New("bad")))
	f, _ := scrape(t, m)
	want := map[string]float64{
		`part="infer",reason="temporary"`: 1, `part="infer",reason="partial"`: 1, `part="infer",reason="permanent"`: 1,
	}
	if got := values(f["voxelstream_operation_errors_total"]); !maps.Equal(got, want) {
		t.Errorf("found errors %v, want %v", got, want)
	}
	d := f["voxelstream_operation_duration_seconds"].GetMetric()[0].GetHistogram()
	if d.GetSampleCount() != 4 || d.GetSampleSum() != 3600.043 {
		t.Errorf("found %d durations of %g s", d.GetSampleCount(), d.GetSampleSum())
	}
	for _, b := range d.GetBucket() {
		if b.GetUpperBound() == .005 && b.GetCumulativeCount() != 2 {
			t.Errorf("found %d operations within 5 ms, want 2", b.GetCumulativeCount())
		}
	}
	if n := f["voxelstream_operation_values"].GetMetric()[0].GetHistogram(); n.GetSampleSum() != 81 {
		t.Errorf("found %g values, want 81", n.GetSampleSum())
	}
}

func TestInference(t *testing.T) {
	m := telemetry.New(telemetry.Options{})
	m.ModelLoaded("digits", "1", true)
	m.ModelLoaded("digits", "2", true)
	m.InferencePending("digits", "1", 3)
	m.InferencePending("digits", "2", 4)
	m.InferenceStages("digits", "1", 5, time.Second, 2*time.Second, 3*time.Second, 4*time.Second)
	m.InferenceDone("digits", "1", "", 10*time.Second)
	m.InferenceDone("digits", "1", "deadline", time.Second)
	m.InferenceBatch("digits", "1", 64)
	m.ModelLoaded("digits", "2", false)
	f, _ := scrape(t, m)
	for name, want := range map[string]map[string]float64{
		"voxelstream_model_info":                 {`name="digits",version="1"`: 1},
		"voxelstream_inference_pending_requests": {`model="digits",version="1"`: 3},
		"voxelstream_inference_rows_total":       {`model="digits",version="1"`: 5},
		"voxelstream_inference_failures_total":   {`model="digits",reason="deadline",version="1"`: 1},
	} {
		if got := values(f[name]); !maps.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", name, got, want)
		}
	}
	sums := map[string]float64{}
	for _, s := range f["voxelstream_inference_stage_duration_seconds"].GetMetric() {
		for _, l := range s.GetLabel() {
			if l.GetName() == "stage" {
				sums[l.GetValue()] = s.GetHistogram().GetSampleSum()
			}
		}
	}
	if want := (map[string]float64{"queue": 1, "input": 2, "infer": 3, "output": 4}); !maps.Equal(sums, want) {
		t.Errorf("found %v, want %v", sums, want)
	}
	h := f["voxelstream_inference_request_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 1 || h.GetSampleSum() != 10 {
		t.Errorf("found %v", h)
	}
}

// TestConventions reports one of everything and holds the names and texts against Prometheus's own rules and our
// declarations.
func TestConventions(t *testing.T) {
	m := telemetry.New(telemetry.Options{Workers: func() (int64, int64) { return 1, 1 }})
	for _, e := range []pipeline.Event{
		pipeline.EventRead, pipeline.EventFiltered, pipeline.EventWritten, pipeline.EventRepeated,
		pipeline.EventRetried, pipeline.EventFailed,
		pipeline.EventDeadLetter, pipeline.EventDeadLetterStored, pipeline.EventUnfinished, pipeline.EventDropped,
		pipeline.EventDamaged, pipeline.EventLost,
		pipeline.EventRebalance, pipeline.EventBytes, pipeline.EventPacket, pipeline.EventMissed,
		pipeline.EventFile, pipeline.EventRequest, pipeline.EventRefused, pipeline.EventUnfamiliar,
		pipeline.EventPostponed, pipeline.EventQuarantined, pipeline.EventLogChanged, pipeline.EventFenced,
		pipeline.EventCompared, pipeline.EventDisagreed, pipeline.EventLeftOut, pipeline.EventModelRefused,
	} {
		m.Count("p", e, 1)
	}
	for _, l := range []pipeline.Level{
		pipeline.LevelBytesInFlight, pipeline.LevelValuesInFlight, pipeline.LevelQueue, pipeline.LevelLag,
		pipeline.LevelPartitions, pipeline.LevelConnections,
		pipeline.LevelStoredBytes, pipeline.LevelForgotten,
	} {
		m.Level("t/0", l, 1)
	}
	m.Time("p", 1, time.Second, errors.New("e"))
	f, _ := scrape(t, m)
	if f["voxelstream_events_total"] != nil || f["voxelstream_level"] != nil {
		t.Error("an event or level of package pipeline has no metric of its own")
	}
	m.Count("p", "other", 1)
	m.Level("p", "other", 1)
	m.Models([2]string{"m", "1"})
	pipeline.Score(pipeline.Observers(m), "network", .5)
	m.InferenceStages("m", "1", 1, 0, 0, 0, 0)
	m.InferenceDone("m", "1", "", 1)
	m.InferenceDone("m", "1", "invalid", 1)
	m.InferenceBatch("m", "1", 1)
	m.InferencePending("m", "1", 1)
	f, text := scrape(t, m)
	var page strings.Builder
	if err := telemetry.WriteReference(&page); err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, d := range telemetry.Declared() {
		declared[d.Name] = true
		got := f[d.Name]
		if got == nil || strings.ToLower(got.GetType().String()) != string(d.Kind) || got.GetHelp() != d.Help {
			t.Errorf("%s: found %v %q, want %s %q", d.Name, got.GetType(), got.GetHelp(), d.Kind, d.Help)
		}
		var labels []string
		for _, l := range got.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if want := slices.Sorted(slices.Values(d.Labels)); !slices.Equal(slices.Sorted(slices.Values(labels)), want) {
			t.Errorf("%s: found labels %v, want %v", d.Name, labels, want)
		}
		if !strings.Contains(page.String(), "| `"+d.Name+"` | "+string(d.Kind)+" |") {
			t.Errorf("the reference page has no %s", d.Name)
		}
	}
	for name := range f {
		if strings.HasPrefix(name, "voxelstream_") && !declared[name] {
			t.Errorf("%s is not declared", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(regexp.MustCompile(`(?m)^(# (HELP|TYPE) )?(go|process|promhttp)_.*\n`).ReplaceAllString(text, ""))).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("found %v, %v", problems, err)
	}
}

// TestOwnRegistry: two of them in one process do not meet.
func TestOwnRegistry(t *testing.T) {
	a, b := telemetry.New(telemetry.Options{}), telemetry.New(telemetry.Options{})
	a.Handler()
	a.Handler()
	a.Count("p", pipeline.EventRead, 1)
	if f, _ := scrape(t, b); f["voxelstream_read_total"] != nil {
		t.Error("b counted for a")
	}
}

func TestConcurrent(t *testing.T) {
	m := telemetry.New(telemetry.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			part := fmt.Sprint(i % 3)
			for range 1000 {
				m.Count(part, pipeline.EventRead, 1)
				m.Time(part, 1, time.Microsecond, nil)
				m.Level(pipeline.Partition("t", i), pipeline.LevelLag, int64(i))
				m.Level(pipeline.Partition("t", i), pipeline.LevelLag, pipeline.Gone)
			}
		})
	}
	scrape(t, m)
	wg.Wait()
	f, _ := scrape(t, m)
	sum := 0.0
	for _, v := range values(f["voxelstream_read_total"]) {
		sum += v
	}
	if sum != 8000 {
		t.Errorf("found %g, want 8000", sum)
	}
	if f["voxelstream_consumer_lag_messages"] != nil {
		t.Error("found the lag of a partition that is gone")
	}
}

func BenchmarkCount(b *testing.B) {
	m := telemetry.New(telemetry.Options{})
	for b.Loop() {
		m.Count("consumer volumes", pipeline.EventRead, 1)
	}
}

func BenchmarkTime(b *testing.B) {
	m := telemetry.New(telemetry.Options{})
	for b.Loop() {
		m.Time("decode", 1, time.Millisecond, nil)
	}
}
