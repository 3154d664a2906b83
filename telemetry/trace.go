package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/voxelstream/voxelstream/pipeline"
)

// TraceOptions are the settings of traces.
type TraceOptions struct {
	Endpoint    string  `yaml:"endpoint" doc:"URL of an OTLP/HTTP receiver for traces, for example http://localhost:4318. If it is empty, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT is used; if these are empty too, there are no traces. Headers, certificates and timeouts are set with the OTEL_ variables."`
	SampleRatio float64 `yaml:"sample_ratio" min:"0" max:"1" doc:"Share of new traces to record. A trace that another process started is recorded if that process records it. OTEL_TRACES_SAMPLER, if set, replaces this option."`
}

// Validate reports an invalid endpoint.
func (o TraceOptions) Validate() error {
	if o.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New("endpoint: want an http:// or https:// URL without credentials (for those, set " +
			"OTEL_EXPORTER_OTLP_HEADERS)")
	}
	return nil
}

// enabled reports whether there is a receiver.
func (o TraceOptions) enabled() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return o.Endpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" ||
		os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != ""
}

// flushTime limits how long the last spans may take at the end of the process.
const flushTime = 5 * time.Second

// NewTracer returns a tracer, and a function that sends the last spans and ends it. The tracer is nil if traces are off.
// Spans are sent in the background; if the receiver fails or is too slow, they are dropped.
func NewTracer(ctx context.Context, o TraceOptions, version string) (pipeline.Tracer, func() error, error) {
	if !o.enabled() {
		return nil, func() error { return nil }, nil
	}
	var to []otlptracehttp.Option
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil {
			return nil, nil, errors.New("telemetry.traces.endpoint: invalid URL")
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/traces"
		}
		to = append(to, otlptracehttp.WithEndpointURL(u.String()))
	}
	exporter, err := otlptracehttp.New(ctx, to...)
	if err != nil {
		return nil, nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "voxelstream"), attribute.String("service.version", version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	with := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(about)}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		with = append(with, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.SampleRatio))))
	}
	provider := sdk.NewTracerProvider(with...)
	end := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		return provider.Shutdown(ctx)
	}
	return tracer{provider.Tracer("github.com/voxelstream/voxelstream")}, end, nil
}

type tracer struct{ to trace.Tracer }

// Start begins a span.
func (t tracer) Start(name, parent string, links []string, attributes ...pipeline.Attribute) pipeline.Span {
	with := []trace.SpanStartOption{trace.WithAttributes(attributesOf(attributes)...)}
	for _, l := range links {
		if c := trace.SpanContextFromContext(contextOf(l)); c.IsValid() {
			with = append(with, trace.WithLinks(trace.Link{SpanContext: c}))
		}
	}
	ctx, s := t.to.Start(contextOf(parent), name, with...)
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return span{s, carrier.Get("traceparent")}
}

// contextOf returns a context with the span that a traceparent header names, if it is valid.
func contextOf(parent string) context.Context {
	if parent == "" {
		return context.Background()
	}
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
}

func attributesOf(list []pipeline.Attribute) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(list))
	for _, a := range list {
		switch v := a.Value.(type) {
		case string:
			out = append(out, attribute.String(a.Key, valid(v)))
		case int:
			out = append(out, attribute.Int(a.Key, v))
		case int64:
			out = append(out, attribute.Int64(a.Key, v))
		}
	}
	return out
}

type span struct {
	trace.Span
	parent string
}

// Context returns the traceparent header.
func (s span) Context() string { return s.parent }

// End ends the span.
func (s span) End(err error) {
	if err != nil {
		s.RecordError(err)
		s.SetStatus(codes.Error, reason(err))
	}
	s.Span.End()
}
