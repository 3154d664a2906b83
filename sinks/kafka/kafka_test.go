package kafka

import (
	"encoding/json"
	"log/slog"
	"testing"

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
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		broker, err := embedded.Start(embedded.Config{DataDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := broker.Close(); err != nil {
				t.Error(err)
			}
		})
		client, err := kafka.Open(kafka.Config{Brokers: []string{broker.Addr()}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		if err := client.EnsureTopics(t.Context(), kafka.Topic{Name: transport.TopicClassifications, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
		return sinktest.Harness{
			Open: func(t *testing.T) sinks.Sink {
				p, err := kafka.NewProducer(client, kafka.ProducerConfig{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { p.Close(t.Context()) }) //nolint:errcheck // nothing is on its way
				return New(kafka.NewDeduper(p, transport.TopicClassifications, 0))
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
					if m.EventID() != c.Key() || string(m.Key) != c.Stream || m.Verify() != nil {
						t.Fatalf("found event id %s, key %s", m.EventID(), m.Key)
					}
					ids = append(ids, c.EventID)
				}
				return ids
			},
		}
	})
}
