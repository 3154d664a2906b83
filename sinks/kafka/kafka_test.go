package kafka

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

// TestSuite runs against the embedded broker; Open makes a producer and a deduper that know nothing of their
// predecessors.
func TestSuite(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness { return harness(t, broker(t)) })
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

// harness opens the sink as the program does, by its kind.
func harness(t *testing.T, addr string) sinktest.Harness {
	t.Helper()
	client, err := kafka.Open(kafka.Config{Brokers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(t.Context(), kafka.Topic{Name: transport.TopicClassifications, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	return sinktest.Harness{
		Kind: &Kind,
		Open: func(t *testing.T) sinks.Sink {
			p, err := kafka.NewProducer(client, kafka.ProducerConfig{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close(context.WithoutCancel(t.Context())) }) //nolint:errcheck // nothing is on its way
			o, problems := sinks.Parse([]*sinks.Kind{&Kind}, "kafka:", sinks.Defaults{Topic: transport.TopicClassifications})
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
		},
		Stored: func(t *testing.T) (ids []string) {
			for m, err := range client.Records(t.Context(), transport.TopicClassifications, false) {
				if err != nil {
					t.Fatal(err)
				}
				var c record.Classification
				if err := json.Unmarshal(m.Value, &c); err != nil {
					t.Fatal(err)
				}
				if schema, _ := m.Header(transport.HeaderSchema); schema != "classification/2" {
					t.Errorf("found schema %q, want classification/2", schema)
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
