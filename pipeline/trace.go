package pipeline

// Tracer records spans: what happened to a value, when, and why. The spans of a value form a trace, even across
// processes. A nil Tracer means that tracing is off.
type Tracer interface {
	// Start begins a span that continues the trace of parent, or a new trace if parent is empty or invalid. parent and
	// links are contexts of spans; links are related spans of other traces.
	Start(name, parent string, links []string, attributes ...Attribute) Span
}

// Span is a part of a trace. It is safe for concurrent use.
type Span interface {
	// Context identifies the span to other processes, as the header traceparent of W3C Trace Context.
	Context() string
	// End ends the span. err is the error of what the span describes, or nil.
	End(err error)
}

// Attribute describes a span. The value is a string, an int or an int64.
type Attribute struct {
	Key   string
	Value any
}
