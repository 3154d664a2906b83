package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

func exclusive(t *testing.T, c *Client, topic string) *ExclusiveConsumer {
	t.Helper()
	s, err := c.JoinExclusive(t.Context(), "g", topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // may be closed by the test
	return s
}

// TestExclusive reads three partitions of different lengths in turns, seeks back, and reads a message that comes later.
func TestExclusive(t *testing.T) {
	_, c, p := fake(t, 3, "t")
	streams := map[int]string{}
	for i := 0; len(streams) < 3; i++ { // until each partition has a stream
		m := transport.New(fmt.Sprint("key", i), "first", "text/plain", nil)
		if _, err := p.Produce(t.Context(), "t", m); err != nil {
			t.Fatal(err)
		}
		for m, err := range c.Records(t.Context(), "t", false) {
			if err != nil {
				t.Fatal(err)
			}
			streams[m.Partition] = string(m.Key)
		}
	}
	from, to, err := c.Bounds(t.Context(), "t")
	if err != nil || !slices.Equal(from, []int64{0, 0, 0}) {
		t.Fatalf("got bounds %v and %v (%v)", from, to, err)
	}
	for i, n := range []int{3, 0, 1} {
		for j := range n {
			m := transport.New(streams[i], fmt.Sprint(i, "-", j), "text/plain", nil)
			if _, err := p.Produce(t.Context(), "t", m); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := exclusive(t, c, "t")
	read := func(n int) (got []string) {
		for range n {
			m, err := s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.EventID())
		}
		return got
	}
	want := []string{"2-0", "0-0", "0-1", "0-2"}
	for range 2 { // the same after seeking back
		if err := s.Seek(to, 2); err != nil {
			t.Fatal(err)
		}
		if got := read(4); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	if _, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the end: got %v", err)
	}
	cancel()
	if _, err := p.Produce(t.Context(), "t", transport.New(streams[1], "late", "text/plain", nil)); err != nil {
		t.Fatal(err)
	}
	if got := read(1); got[0] != "late" {
		t.Errorf("got %v", got)
	}
	if err := s.Commit(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if lag, err := c.Lag(t.Context(), "g", "t"); err != nil || lag[0] != 3 || lag[1] != 1 || lag[2] != 1 {
		t.Errorf("got lag %v (%v)", lag, err)
	}
	if err := s.Seek(to[:2], 0); err == nil {
		t.Error("Seek accepted offsets of two partitions of three")
	}
}

// TestExclusiveMissesNothing checks that reading fails if retention has deleted unread messages.
func TestExclusiveMissesNothing(t *testing.T) {
	broker, c, p := fake(t, 1, "t")
	if _, err := p.Produce(t.Context(), "t", numbered(10)...); err != nil {
		t.Fatal(err)
	}
	if err := broker.DeleteRecords("t", 0, 5); err != nil {
		t.Fatal(err)
	}
	s := exclusive(t, c, "t")
	if err := s.Seek([]int64{3}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "offset 3 were deleted") {
		t.Errorf("got %v", err)
	}
	if first, err := s.First(t.Context()); err != nil || first[0] != 5 {
		t.Errorf("got first offset %v (%v)", first, err)
	}
}

// TestExclusiveRefusesOthers checks that a second exclusive consumer is rejected without harm to the first, and that
// Commit of the first fails if an ordinary member stays.
func TestExclusiveRefusesOthers(t *testing.T) {
	_, c, _ := fake(t, 2, "t")
	s := exclusive(t, c, "t")
	if second, err := c.JoinExclusive(t.Context(), "g", "t", 0); !errors.Is(err, errNotExclusive) || second != nil {
		t.Errorf("got %v, %v", second, err)
	}
	for range 2 {
		if err := s.Commit(t.Context(), []int64{0, 0}); err != nil {
			t.Errorf("the first member: got %v", err)
		}
	}
	var seen pipelinetest.Recorder
	consume(t, c, ConsumerConfig{Observer: &seen})
	deadline := time.Now().Add(testenv.Patience)
	for seen.Counted("consumer t", pipeline.EventRebalance) == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Commit(t.Context(), []int64{0, 0}); !errors.Is(err, errNotExclusive) {
		t.Errorf("with another member: got %v", err)
	}
}

// TestExclusivePartitionsAdded adds partitions to the topic. The consumer goes on with those that it has.
func TestExclusivePartitionsAdded(t *testing.T) {
	_, c, _ := fake(t, 1, "t")
	s := exclusive(t, c, "t")
	res, err := c.kafka.CreatePartitions(t.Context(), &kafkago.CreatePartitionsRequest{
		Topics: []kafkago.TopicPartitionsConfig{{Name: "t", Count: 3}},
	})
	if err == nil {
		err = res.Errors["t"]
	}
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.owned) == 3
	})
	if err := s.Commit(t.Context(), []int64{0}); err != nil {
		t.Error(err)
	}
}

// TestRange checks that Range ends at its last offset, at an error, and when the loop breaks.
func TestRange(t *testing.T) {
	_, c, p := fake(t, 1, "t")
	if _, err := p.Produce(t.Context(), "t", numbered(10)...); err != nil {
		t.Fatal(err)
	}
	var got []string
	for m, err := range c.Range(t.Context(), "t", []int64{2}, []int64{7}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.EventID()); m.Offset == 5 {
			break
		}
	}
	if want := []string{"2", "3", "4", "5"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.Range(ctx, "t", []int64{2}, []int64{7}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

// TestRangeGoesOn reads a part of a batch. The next offset is the one behind that part, although the broker has sent the
// whole batch: otherwise Records, which follows a topic, would leave out what was added after it had looked up the end.
func TestRangeGoesOn(t *testing.T) {
	_, c, p := fake(t, 1, "t")
	if _, err := p.Produce(t.Context(), "t", numbered(10)...); err != nil {
		t.Fatal(err)
	}
	from, count := int64(0), 0
	for _, to := range []int64{3, 7, 10} {
		var err error
		from, err = c.readRange(t.Context(), "t", 0, from, to, func(transport.Message) bool { count++; return true })
		if err != nil || from != to || count != int(to) {
			t.Fatalf("found %d messages up to offset %d, next %d, %v", count, to, from, err)
		}
	}
}
