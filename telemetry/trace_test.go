package telemetry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestTracesAreOff: without an endpoint, and if the OTEL_ variables turn traces off, there is no tracer.
func TestTracesAreOff(t *testing.T) {
	for _, c := range []struct {
		o    TraceOptions
		env  map[string]string
		want bool
	}{
		{TraceOptions{SampleRatio: 1}, nil, false},
		{TraceOptions{Endpoint: "http://127.0.0.1:1"}, nil, true},
		{TraceOptions{}, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		{TraceOptions{}, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}, true},
		{TraceOptions{Endpoint: "http://127.0.0.1:1"}, map[string]string{"OTEL_SDK_DISABLED": "true"}, false},
		{TraceOptions{Endpoint: "http://127.0.0.1:1"}, map[string]string{"OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		for _, name := range []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED",
			"OTEL_TRACES_EXPORTER",
		} {
			t.Setenv(name, c.env[name])
		}
		tracer, end, err := NewTracer(t.Context(), c.o, "test")
		if err != nil || (tracer != nil) != c.want {
			t.Errorf("%+v: found %v, %v", c, tracer, err)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	for _, endpoint := range []string{"localhost:4318", "ftp://x", "http://me:secret@x", "http://"} {
		err := TraceOptions{Endpoint: endpoint}.Validate()
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: found %v", endpoint, err)
		}
	}
}

// TestSpans: a span continues the trace that it is given, and is sent with the headers of the OTEL_ variables. Without
// sampling it is not sent, but the trace goes on.
func TestSpans(t *testing.T) {
	var sent atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "abc" {
			t.Errorf("found headers %v", r.Header)
		}
		sent.Add(1)
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
	const recorded, not = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for _, c := range []struct {
		ratio  float64
		parent string
		flags  string
		sent   int32
	}{
		{1, "", "01", 1},
		{0, "", "00", 0},
		{0, recorded, "01", 1},
		{1, not, "00", 0},
		{1, "no trace", "01", 1},
	} {
		sent.Store(0)
		tracer, end, err := NewTracer(t.Context(), TraceOptions{Endpoint: server.URL, SampleRatio: c.ratio}, "test")
		if err != nil {
			t.Fatal(err)
		}
		s := tracer.Start("x", c.parent, []string{recorded, "no trace"})
		parts := strings.Split(s.Context(), "-")
		if len(parts) != 4 || parts[3] != c.flags ||
			strings.HasPrefix(c.parent, "00-") && parts[1] != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%+v: found %s", c, s.Context())
		}
		s.End(errors.New("failed"))
		if err := end(); err != nil {
			t.Error(err)
		}
		if n := sent.Load(); n != c.sent {
			t.Errorf("%+v: sent %d", c, n)
		}
	}
}
