package stream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/telemetry"
)

// receiver is an OTLP/HTTP receiver.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans map[string][]*otlp.Span // by name
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{spans: map[string][]*otlp.Span{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		var in collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &in)
		}
		if err != nil || q.URL.Path != "/v1/traces" {
			t.Errorf("found %s, %v", q.URL, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, rs := range in.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					r.spans[s.GetName()] = append(r.spans[s.GetName()], s)
				}
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// traced runs f with its own tracer, as a separate process would.
func (r *receiver) traced(t *testing.T, a *app.Env, f func(*app.Env)) {
	t.Helper()
	tracer, end, err := telemetry.NewTracer(t.Context(), telemetry.TraceOptions{Endpoint: r.URL, SampleRatio: 1}, "test")
	if err != nil {
		t.Fatal(err)
	}
	env := *a
	env.Tracer = tracer
	f(&env)
	if err := end(); err != nil {
		t.Error(err)
	}
}

func attributeOf(s *otlp.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// TestTraces: a trace runs from the inputs over the broker to the classifications, and batches are linked to it.
func TestTraces(t *testing.T) {
	r := newReceiver(t)
	dir := t.TempDir()
	a := apptest.New(t, "broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", filepath.Join(dir, "c.jsonl"))
	r.traced(t, a, func(a *app.Env) {
		if _, err := Ingest(t.Context(), a, clouds(t, 3)); err != nil {
			t.Fatal(err)
		}
	})
	r.traced(t, a, func(a *app.Env) {
		if _, err := Classify(t.Context(), a, true); err != nil {
			t.Fatal(err)
		}
	})
	sent := map[string]*otlp.Span{}
	for _, s := range r.spans["ingest"] {
		sent[string(s.GetSpanId())] = s
	}
	if len(sent) == 0 || len(r.spans["classify"]) != len(sent) || len(r.spans["network"]) == 0 {
		t.Fatalf("found %d spans of ingest, %d of classify, %d of network", len(sent), len(r.spans["classify"]),
			len(r.spans["network"]))
	}
	linked := map[string]bool{}
	for _, s := range r.spans["network"] {
		for _, l := range s.GetLinks() {
			linked[string(l.GetSpanId())] = true
		}
	}
	traces := map[string]string{} // by event ID
	for _, s := range r.spans["classify"] {
		from := sent[string(s.GetParentSpanId())]
		if from == nil || !bytes.Equal(from.GetTraceId(), s.GetTraceId()) {
			t.Fatalf("the span %v does not continue the trace of ingest", s)
		}
		id := attributeOf(s, "voxelstream.event_id")
		if id == "" || id != attributeOf(from, "voxelstream.event_id") {
			t.Errorf("found event ID %q of %v", id, from)
		}
		if !linked[string(s.GetSpanId())] {
			t.Errorf("no batch is linked to %s", id)
		}
		if s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("found %v", s)
		}
		traces[string(s.GetTraceId())] = id
	}
	err := WithClient(t.Context(), a, func(c *kafka.Client) error {
		n := 0
		for m, err := range c.Records(t.Context(), transport.TopicClassifications, false) {
			if err != nil {
				return err
			}
			n++
			if h, _ := m.Header(transport.HeaderTrace); len(strings.Split(h, "-")) != 4 {
				t.Errorf("found the trace %q of %s", h, m.EventID())
			}
		}
		if n != 3 {
			t.Errorf("found %d classifications, want 3", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestTracesCostNothing: without a tracer, the spans of a message take no memory.
func TestTracesCostNothing(t *testing.T) {
	var off traces
	m := transport.New("k", "id", "", nil)
	o := &record.Origin{}
	if n := testing.AllocsPerRun(100, func() {
		off.begin(&m, o, 1)
		off.done(o, nil)
		off.failed(&m, context.Canceled)
		if off.batch(nil) != nil || traceSent(nil, &m, "volumes", 1) != nil {
			t.Fatal("found a span")
		}
	}); n != 0 {
		t.Errorf("found %v allocations", n)
	}
}

// BenchmarkTraces compares a message without and with a tracer that records nothing and everything.
func BenchmarkTraces(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	m := transport.New("k", "id", "", nil)
	for name, ratio := range map[string]float64{"off": -1, "sampled 0": 0, "sampled 1": 1} {
		b.Run(name, func(b *testing.B) {
			var t traces
			if ratio >= 0 {
				tracer, end, err := telemetry.NewTracer(b.Context(),
					telemetry.TraceOptions{Endpoint: server.URL, SampleRatio: ratio}, "test")
				if err != nil {
					b.Fatal(err)
				}
				defer end() //nolint:errcheck // spans of a benchmark
				t.tracer = tracer
			}
			b.ReportAllocs()
			for b.Loop() {
				o := record.Origin{}
				t.begin(&m, &o, 1)
				t.done(&o, nil)
			}
		})
	}
}
