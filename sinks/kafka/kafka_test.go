package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/wire"
)

// TestSuite runs against the embedded broker; Open makes a producer and a deduper that know nothing of their
// predecessors.
func TestSuite(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness { return harness(t, broker(t)) })
}

// TestEncodings: messages have the value and the headers of the encoding, and those that are on the topic already are
// recognized in each.
func TestEncodings(t *testing.T) {
	for _, e := range []wire.Encoding{wire.JSON, wire.Avro, wire.Protobuf} {
		t.Run(string(e), func(t *testing.T) {
			addr := broker(t)
			text := fmt.Sprintf("kafka:?encoding=%s&schema-id=7", e)
			want := []record.Classification{sinktest.Classification("s", 0), sinktest.Classification("s", 1)}
			for range 2 {
				s := openText(t, addr, text)
				if err := errors.Join(s.Write(t.Context(), want), s.Close(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for m, err := range clientOf(t, addr).Records(t.Context(), transport.TopicClassifications, false) {
				if err != nil {
					t.Fatal(err)
				}
				if n == len(want) {
					t.Fatalf("found more than %d messages", n)
				}
				value, err := e.Encode(&want[n], 7)
				if err != nil || !bytes.Equal(m.Value, value) {
					t.Errorf("found %q, want %q (%v)", m.Value, value, err)
				}
				content, _ := m.Header("content-type")
				schema, _ := m.Header(transport.HeaderSchema)
				if content != "application/"+string(e) || schema != "classification/4" || m.EventID() != want[n].Key() {
					t.Errorf("found content type %s, schema %s, event %s", content, schema, m.EventID())
				}
				n++
			}
			if n != len(want) {
				t.Errorf("found %d messages, want %d", n, len(want))
			}
		})
	}
}

func TestKilled(t *testing.T) { sinktest.Kill(t, broker, harness) }

// broker starts a broker and returns its address.
func broker(t *testing.T) string {
	t.Helper()
	b, err := embedded.Start(embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b.Addr()
}

// clientOf connects to a broker, on which the topic exists then.
func clientOf(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	client, err := kafka.Open(kafka.Config{Brokers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	topic := kafka.Topic{Name: transport.TopicClassifications, Partitions: 2}
	if err := client.EnsureTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	return client
}

// openText opens the sink as the program does, by its kind.
func openText(t *testing.T, addr, text string) sinks.Sink {
	t.Helper()
	p, err := kafka.NewProducer(clientOf(t, addr), kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.WithoutCancel(t.Context())) }) //nolint:errcheck // nothing is on its way
	o, problems := sinks.Parse([]*sinks.Kind{&Kind}, text, sinks.Defaults{Topic: transport.TopicClassifications})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	out, err := o.Open(t.Context(), sinks.Services{
		Topic: func(_ context.Context, name string, window int) (pipeline.Sink[transport.Message], error) {
			return kafka.NewDeduper(p, name, window), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Sink
}

func harness(t *testing.T, addr string) sinktest.Harness {
	t.Helper()
	client := clientOf(t, addr)
	return sinktest.Harness{
		Kind: &Kind,
		Open: func(t *testing.T) sinks.Sink { return openText(t, addr, "kafka:") },
		Stored: func(t *testing.T) (ids []string) {
			for m, err := range client.Records(t.Context(), transport.TopicClassifications, false) {
				if err != nil {
					t.Fatal(err)
				}
				var c record.Classification
				if err := json.Unmarshal(m.Value, &c); err != nil {
					t.Fatal(err)
				}
				if schema, _ := m.Header(transport.HeaderSchema); schema != "classification/4" {
					t.Errorf("found schema %q, want classification/4", schema)
				}
				if m.EventID() != c.Key() || string(m.Key) != c.Stream || m.Verify() != nil {
					t.Fatalf("found event id %s, key %s", m.EventID(), m.Key)
				}
				ids = append(ids, c.EventID)
			}
			return ids
		},
	}
}
