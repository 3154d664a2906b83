package stream

import (
	"sync"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

// traces are the spans of messages of volumes that are being classified. The zero value, without a tracer, does nothing.
type traces struct {
	tracer pipeline.Tracer

	mu   sync.Mutex
	open map[*record.Origin]*openSpan
}

// openSpan is the span of a message, from when it is decoded until all its volumes are stored or have failed.
type openSpan struct {
	pipeline.Span
	left int   // volumes
	err  error // of the last one that failed
}

// begin begins the span of a message of n volumes, which continues the trace that the message names. The context of
// the span is stored in the origin, which carries it to the sinks.
func (t *traces) begin(m *transport.Message, o *record.Origin, n int) {
	if t.tracer == nil || n == 0 {
		return
	}
	parent, _ := m.Header(transport.HeaderTrace)
	s := t.tracer.Start("classify", parent, nil,
		pipeline.Attribute{Key: "messaging.system", Value: "kafka"},
		pipeline.Attribute{Key: "messaging.destination.name", Value: m.Topic},
		pipeline.Attribute{Key: "messaging.destination.partition.id", Value: m.Partition},
		pipeline.Attribute{Key: "messaging.kafka.offset", Value: m.Offset},
		pipeline.Attribute{Key: "voxelstream.event_id", Value: m.EventID()},
		pipeline.Attribute{Key: "voxelstream.volumes", Value: n})
	o.Trace = s.Context()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*record.Origin]*openSpan{}
	}
	t.open[o] = &openSpan{Span: s, left: n}
}

// failed records the span of a message that cannot be decoded.
func (t *traces) failed(m *transport.Message, err error) {
	if t.tracer == nil {
		return
	}
	parent, _ := m.Header(transport.HeaderTrace)
	t.tracer.Start("classify", parent, nil, pipeline.Attribute{Key: "voxelstream.event_id", Value: m.EventID()}).End(err)
}

// done ends a span after its last volume.
func (t *traces) done(o *record.Origin, err error) {
	if t.tracer == nil || o == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.open[o]
	if s == nil {
		return
	}
	if err != nil {
		s.err = err
	}
	if s.left--; s.left == 0 {
		delete(t.open, o)
		s.End(s.err)
	}
}

// maxLinks is the maximum number of links of the span of a batch.
const maxLinks = 128

// batch begins the span of a batch of the network, which is linked to the spans of its messages.
func (t *traces) batch(items []classify.Item) pipeline.Span {
	if t.tracer == nil {
		return nil
	}
	var links []string
	var last *record.Origin
	for i := range items {
		if o := items[i].Origin; o != nil && o != last && o.Trace != "" && len(links) < maxLinks {
			links, last = append(links, o.Trace), o
		}
	}
	return t.tracer.Start("network", "", links, pipeline.Attribute{Key: "voxelstream.volumes", Value: len(items)})
}

// traceSent begins the span of a message of volumes that is about to be sent, and sets the message's trace header.
func traceSent(t pipeline.Tracer, m *transport.Message, topic string, n int) pipeline.Span {
	if t == nil {
		return nil
	}
	s := t.Start("ingest", "", nil,
		pipeline.Attribute{Key: "messaging.system", Value: "kafka"},
		pipeline.Attribute{Key: "messaging.destination.name", Value: topic},
		pipeline.Attribute{Key: "voxelstream.event_id", Value: m.EventID()},
		pipeline.Attribute{Key: "voxelstream.stream", Value: string(m.Key)},
		pipeline.Attribute{Key: "voxelstream.volumes", Value: n})
	m.SetHeader(transport.HeaderTrace, s.Context())
	return s
}
