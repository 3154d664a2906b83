package kafka_test

import (
	"context"
	"fmt"
	"log"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// Unique reads classifications, each once, although one of them is on the topic twice.
func ExampleClient_Unique() {
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	client, err := kafka.Open(kafka.Config{Brokers: []string{broker.Addr()}})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close()
	ctx := context.Background()
	if err := fillExample(ctx, client); err != nil {
		log.Panic(err)
	}

	next := map[int]int64{} // store it with what is made of the classifications, and pass it as From the next time
	for m, err := range client.Unique(ctx, transport.TopicClassifications, kafka.UniqueConfig{From: next}) {
		if err != nil {
			log.Panic(err)
		}
		fmt.Println(m.EventID(), string(m.Value))
		next[m.Partition] = m.Offset + 1
	}
	// Output:
	// scan/0@digits {"class":3}
	// scan/1@digits {"class":8}
}

// fillExample writes three messages about two events.
func fillExample(ctx context.Context, client *kafka.Client) error {
	topic := kafka.Topic{Name: transport.TopicClassifications, Partitions: 1}
	if err := client.EnsureTopics(ctx, topic); err != nil {
		return err
	}
	p, err := kafka.NewProducer(client, kafka.ProducerConfig{})
	if err != nil {
		return err
	}
	defer p.Close(ctx)
	for _, m := range []struct{ id, value string }{
		{"scan/0@digits", `{"class":3}`}, {"scan/0@digits", `{"class":3}`}, {"scan/1@digits", `{"class":8}`},
	} {
		_, err := p.Produce(ctx, topic.Name, transport.New("scan", m.id, transport.ContentJSON, []byte(m.value)))
		if err != nil {
			return err
		}
	}
	return nil
}
