package integration

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// The tests in this file change logs under a consumer of Apache Kafka: VOXELSTREAM_KAFKA_VERSION, or the default of
// scripts/real-kafka.sh. An independent client makes the changes.

// realLogs is a cluster, a client of it, and the independent client.
type realLogs struct {
	*testing.T
	addresses []string
	client    *kafka.Client
	other     *kgo.Client
	seen      *pipelinetest.Recorder
	log       *logLines
}

// logLines is a log that tests can search.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logLines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// realNode is a node of Apache Kafka.
type realNode struct {
	t    *testing.T
	dir  string
	port int
	addr string
}

// startNode starts a node with more settings and more arguments for its formatting.
func startNode(t *testing.T, settings string, format ...string) *realNode {
	t.Helper()
	n := &realNode{t: t, dir: t.TempDir(), port: freePorts(t, 2)}
	settings = strings.ReplaceAll(settings, "PORT", strconv.Itoa(n.port))
	for name, text := range map[string]string{"extra.properties": settings, "format.args": strings.Join(format, " ")} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	t.Cleanup(n.kill)
	return n
}

func (n *realNode) start() {
	n.t.Helper()
	n.addr = n.script("start", os.Getenv("VOXELSTREAM_KAFKA_VERSION"))
}

func (n *realNode) kill() {
	n.t.Helper()
	n.script("kill")
}

func (n *realNode) script(command string, more ...string) string {
	n.t.Helper()
	var stderr bytes.Buffer
	args := append([]string{command, n.dir, strconv.Itoa(n.port)}, more...)
	c := exec.Command("scripts/real-kafka.sh", slices.DeleteFunc(args, func(s string) bool { return s == "" })...)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		n.t.Fatalf("real-kafka.sh %s: %v: %s", command, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// cluster returns the ID of the cluster of a node.
func (n *realNode) cluster() string {
	n.t.Helper()
	b, err := os.ReadFile(filepath.Join(n.dir, "data", "meta.properties"))
	if err != nil {
		n.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster.id="); ok {
			return id
		}
	}
	n.t.Fatalf("no cluster ID in %s", b)
	return ""
}

func newRealLogs(t *testing.T, addresses ...string) *realLogs {
	t.Helper()
	r := &realLogs{T: t, addresses: addresses, seen: &pipelinetest.Recorder{}, log: &logLines{}}
	var err error
	r.client, err = kafka.Open(kafka.Config{
		Brokers: addresses, Log: slog.New(slog.NewTextHandler(r.log, nil)), Observer: r.seen,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	r.other = r.newOther()
	if err := r.client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// newOther returns an independent client.
func (r *realLogs) newOther() *kgo.Client {
	r.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.addresses...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.UnknownTopicRetries(-1),
		kgo.DisableIdempotentWrite(),
		kgo.RequiredAcks(kgo.LeaderAck()))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(cl.Close)
	return cl
}

// create creates a topic of one partition, on the given brokers if there are any.
func (r *realLogs) create(topic, policy string, replicas ...int32) {
	r.Helper()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, 1, 1
	if len(replicas) > 0 {
		rt.NumPartitions, rt.ReplicationFactor = -1, -1
		rt.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: replicas}}
	}
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = "cleanup.policy", &policy
	rt.Configs = append(rt.Configs, c)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, rt)
	r.eventually("topic "+topic, func() bool {
		res, err := req.RequestWith(r.Context(), r.other)
		if err != nil {
			return false
		}
		return res.Topics[0].ErrorCode == 0 // a topic that is being deleted exists
	})
}

func (r *realLogs) remove(topic string) {
	r.Helper()
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &topic
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.Topics = []string{topic}, append(req.Topics, t)
	res, err := req.RequestWith(r.Context(), r.other)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// produce writes the numbers from a to b, without b, with a client that does not know the topic from before.
func (r *realLogs) produce(topic string, a, b int) {
	r.Helper()
	var rs []*kgo.Record
	for i := a; i < b; i++ {
		rs = append(rs, &kgo.Record{Topic: topic, Key: []byte("key"), Value: fmt.Append(nil, i)})
	}
	ctx, cancel := context.WithTimeout(r.Context(), testenv.Patience)
	defer cancel()
	cl := r.newOther()
	defer cl.Close()
	if err := cl.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		r.Fatal(err)
	}
}

func (r *realLogs) eventually(what string, holds func() bool) {
	r.Helper()
	for end := time.Now().Add(testenv.Patience); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			r.log.mu.Lock()
			r.Fatalf("never: %s\n%s", what, r.log.b.String())
		}
	}
}

// consume joins the group "g".
func (r *realLogs) consume(topic string) *kafka.Consumer {
	r.Helper()
	k, err := kafka.NewConsumer(r.client, kafka.ConsumerConfig{
		Group: "g", Topic: topic, Budget: pipeline.NewBudget(1 << 20), Observer: r.seen,
	})
	if err != nil {
		r.Fatal(err)
	}
	return k
}

// take reads and settles the numbers from a to b, without b, which must come in order and without others.
func (r *realLogs) take(k *kafka.Consumer, a, b int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), testenv.Patience)
	defer cancel()
	for want := a; want < b; want++ {
		d, err := k.Read(ctx)
		if err != nil {
			r.log.mu.Lock()
			r.Fatalf("waiting for %d: %v\n%s", want, err, r.log.b.String())
		}
		if got := string(d.Value.Value); got != strconv.Itoa(want) {
			r.Errorf("read %s at offset %d, want %d", got, d.Value.Offset, want)
		}
		d.Settle(nil)
	}
}

func (r *realLogs) settled(topic string) {
	r.Helper()
	r.eventually("a lag of 0", func() bool {
		lag, err := r.client.Lag(r.Context(), "g", topic)
		return err == nil && lag[0] == 0
	})
}

func (r *realLogs) leave(k *kafka.Consumer) {
	r.Helper()
	if err := k.Close(r.Context()); err != nil {
		r.Error(err)
	}
}

func (r *realLogs) changes(want int) {
	r.Helper()
	if n := r.seen.Counted("consumer volumes", pipeline.EventLogChanged); n != want {
		r.Errorf("reported %d changes of the log, want %d", n, want)
	}
}

func TestRealLogs(t *testing.T) {
	needRealKafka(t)
	addr := startNode(t, "").addr
	t.Run("recreated", func(t *testing.T) {
		r := newRealLogs(t, addr)
		r.create("volumes", "delete")
		r.produce("volumes", 0, 100)
		k := r.consume("volumes")
		r.take(k, 0, 100)
		r.settled("volumes")
		r.remove("volumes")
		r.create("volumes", "delete")
		r.produce("volumes", 1000, 1300)
		r.take(k, 1000, 1300)
		r.settled("volumes")
		r.changes(1)
		r.leave(k)

		r.remove("volumes")
		r.create("volumes", "delete")
		r.produce("volumes", 2000, 2400)
		k = r.consume("volumes")
		r.take(k, 2000, 2400)
		r.settled("volumes")
		r.leave(k)
		r.remove("volumes")
	})
	t.Run("deleted", func(t *testing.T) {
		r := newRealLogs(t, addr)
		r.create("deleted", "delete")
		r.produce("deleted", 0, 10)
		k := r.consume("deleted")
		defer r.leave(k)
		r.take(k, 0, 10)
		r.settled("deleted")
		r.remove("deleted")
		r.eventually("a reason", func() bool {
			err := k.Joined(t.Context())
			return err != nil && strings.Contains(err.Error(), "does not exist") && r.log.has("the topic does not exist")
		})
		r.create("deleted", "delete")
		r.produce("deleted", 50, 80)
		r.take(k, 50, 80)
		r.settled("deleted")
		r.eventually("no reason", func() bool { return k.Joined(t.Context()) == nil })
	})
	t.Run("transactions", func(t *testing.T) { testRealTransactions(t, addr) })
	t.Run("compacted", func(t *testing.T) {
		r := newRealLogs(t, addr)
		r.create("compacted", "compact")
		err := r.client.EnsureTopics(t.Context(), kafka.Topic{Name: "compacted"})
		if err == nil || !strings.Contains(err.Error(), "found cleanup.policy=compact, want delete") {
			t.Error(err)
		}
	})
	t.Run("defaults", func(t *testing.T) {
		r := newRealLogs(t, addr)
		if err := r.client.EnsureTopics(t.Context(), kafka.Topic{Name: "defaults"}); err != nil {
			t.Fatal(err)
		}
		if n, err := r.client.Partitions(t.Context(), "defaults"); err != nil || n != 4 {
			t.Errorf("%d partitions, %v; the default of the cluster is 4", n, err)
		}
	})
}

func testRealTransactions(t *testing.T, addr string) {
	r := newRealLogs(t, addr)
	r.create("transactions", "delete")
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("upstream"),
		kgo.DefaultProduceTopic("transactions"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	write := func(a, b int) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := a; i < b; i++ {
			if err := cl.ProduceSync(t.Context(), kgo.StringRecord(strconv.Itoa(i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := func(commit kgo.TransactionEndTry) {
		t.Helper()
		if err := cl.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 30)
	end(kgo.TryCommit)
	write(500, 530)
	end(kgo.TryAbort)
	r.produce("transactions", 30, 40)
	write(600, 610)
	end(kgo.TryAbort)
	k := r.consume("transactions")
	defer r.leave(k)
	r.take(k, 0, 40)
	r.settled("transactions")
	write(40, 50)
	r.produce("transactions", 50, 60)
	r.eventually("a line about the transaction", func() bool {
		return r.log.has("waiting until another program ends its transaction")
	})
	if r.log.has("producer_id=-1") {
		t.Error("the producer is not named")
	}
	r.settled("transactions")
	end(kgo.TryCommit)
	r.take(k, 40, 60)
	r.settled("transactions")
	var got []string
	for m, err := range r.client.Records(t.Context(), "transactions", false) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Value))
	}
	if len(got) != 60 || !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }) {
		t.Errorf("a reader without a group has read %d messages", len(got))
	}
}

// TestRealTruncated makes a replica the leader that lacks messages, once while a member runs and once while none
// does. The messages that take the offsets of the lost ones must be read.
func TestRealTruncated(t *testing.T) {
	needRealKafka(t)
	const common = "node.id=%d\nunclean.leader.election.enable=true\n"
	// The controller and coordinator is never killed. The offsets are on it, because it is alone when it creates them.
	one := startNode(t, fmt.Sprintf(common, 1))
	newRealLogs(t, one.addr).coordinator()
	member := fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d\nprocess.roles=broker\n"+
		"listeners=PLAINTEXT://127.0.0.1:PORT\n", one.port+1)
	two := startNode(t, fmt.Sprintf(common, 2)+member, "-t", one.cluster())
	three := startNode(t, fmt.Sprintf(common, 3)+member, "-t", one.cluster())
	for _, alive := range []bool{true, false} {
		t.Run(fmt.Sprintf("alive %v", alive), func(t *testing.T) { truncate(t, alive, one, two, three) })
	}
}

// truncate cuts the log of a topic with replicas on two and three off, which one controls.
func truncate(t *testing.T, alive bool, one, two, three *realNode) {
	r := newRealLogs(t, one.addr)
	const topic = "volumes"
	r.create(topic, "delete", 2, 3)
	r.produce(topic, 0, 100)
	k := r.consume(topic)
	r.take(k, 0, 100)
	three.kill() // it has 100 messages
	r.produce(topic, 100, 250)
	r.take(k, 100, 250)
	r.settled(topic)
	if !alive {
		r.leave(k)
	}
	two.kill()
	three.start() // it leads, without the last 150 messages
	r.produce(topic, 1000, 1400)
	if !alive {
		k = r.consume(topic)
	}
	r.take(k, 1000, 1400)
	r.settled(topic)
	r.changes(1)
	r.leave(k)
	two.start()
	r.eventually("both replicas", func() bool { return r.replicas(topic) == 2 })
	r.remove(topic)
}

// coordinator waits until the group has a coordinator.
func (r *realLogs) coordinator() {
	r.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = "g", []string{"g"}
	r.eventually("a coordinator", func() bool {
		res, err := req.RequestWith(r.Context(), r.other)
		return err == nil && res.ErrorCode == 0 && (len(res.Coordinators) == 0 || res.Coordinators[0].ErrorCode == 0)
	})
}

// replicas returns the number of replicas in sync of the partition of a topic.
func (r *realLogs) replicas(topic string) int {
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(r.Context(), r.other)
	if err != nil || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return 0
	}
	return len(res.Topics[0].Partitions[0].ISR)
}
