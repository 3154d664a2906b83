package kafka_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// volumeBytes is the size of a 16x16x16 volume of palette indices.
const volumeBytes = 16 * 16 * 16

// start starts an embedded broker with the topic "volumes" of 4 partitions.
func start(b *testing.B) (*kafka.Client, *kafka.Producer) {
	b.Helper()
	broker, err := embedded.Start(embedded.Config{DataDir: b.TempDir(), RetentionBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = broker.Close() })
	addr := cmp.Or(os.Getenv("VOXELSTREAM_TEST_BROKER"), broker.Addr())
	c, err := kafka.Open(kafka.Config{Brokers: []string{addr}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	if err := c.EnsureTopics(b.Context(), kafka.Topic{Name: transport.TopicVolumes, Partitions: 4}); err != nil {
		b.Fatal(err)
	}
	p, err := kafka.NewProducer(c, kafka.ProducerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close(b.Context()) })
	return c, p
}

func volumes(n int) []transport.Message {
	rng := rand.NewChaCha8([32]byte{})
	ms := make([]transport.Message, n)
	for i := range ms {
		v := make([]byte, volumeBytes)
		_, _ = rng.Read(v)
		stream := fmt.Sprintf("stream-%d", i%64)
		ms[i] = transport.New(stream, fmt.Sprintf("%s/%d", stream, i), transport.ContentArrow, v)
	}
	return ms
}

func BenchmarkProduce(b *testing.B) {
	_, p := start(b)
	ms := volumes(1024)
	b.SetBytes(volumeBytes)
	for done := 0; b.Loop(); done++ {
		if done%len(ms) == 0 {
			if _, err := p.Produce(b.Context(), transport.TopicVolumes, ms...); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkConsume(b *testing.B) {
	c, p := start(b)
	ms := volumes(1024)
	for range 64 {
		if _, err := p.Produce(b.Context(), transport.TopicVolumes, ms...); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(volumeBytes)
	for done := 0; b.Loop(); {
		if done > 0 {
			done--
			continue
		}
		done = consume(b, c, 64*len(ms)) - 1
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

var groups int

// consume reads and settles n messages in a new group.
func consume(b *testing.B, c *kafka.Client, n int) int {
	groups++
	k, err := kafka.NewConsumer(c, kafka.ConsumerConfig{
		Group: fmt.Sprintf("bench-%d", groups), Topic: transport.TopicVolumes, Budget: pipeline.NewBudget(64 << 20),
	})
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		d, err := k.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		d.Settle(nil)
	}
	if err := k.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	return n
}

// partitionOf returns the partition of a stream on a topic with 4 partitions.
func partitionOf(stream string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(stream))
	return int(max(int32(h.Sum32())%4, -(int32(h.Sum32()) % 4)))
}

// BenchmarkWrite writes classifications in batches of 128, as members of a group do: with a claim, and without.
func BenchmarkWrite(b *testing.B) {
	for _, sources := range []string{"group/volumes", ""} {
		b.Run("sources="+sources, func(b *testing.B) {
			_, p := start(b)
			d := kafka.NewDeduper(p, transport.TopicVolumes, 0)
			d.Sources = sources
			n := 0
			write := func() {
				ms := make([]transport.Message, 128)
				for i := range ms {
					stream := fmt.Sprintf("stream-%d", n%64)
					ms[i] = transport.New(stream, fmt.Sprintf("%s/%d@model", stream, n), transport.ContentJSON,
						make([]byte, 400))
					ms[i].SetHeader(transport.HeaderVolume, fmt.Sprintf("%d/%d", partitionOf(stream), n))
					n++
				}
				if err := d.Write(b.Context(), ms); err != nil {
					b.Fatal(err)
				}
			}
			write()
			for b.Loop() {
				write()
			}
			b.ReportMetric(float64(128*b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
