//go:build unix

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is what the fault suite runs on: the embedded broker in a separate process, or nodes of Apache Kafka.
type cluster struct {
	t       *testing.T
	version string // of Apache Kafka; "" is the embedded broker
	dir     string
	nodes   []*node
	world   *world // of the embedded broker
	admin   *kgo.Client
	// links and slow are networks of proxies between members and the brokers, of Apache Kafka only: one to cut, one that
	// takes its time.
	links, slow *network
}

// node is a broker of a cluster.
type node struct {
	id   int32
	addr string
	dir  string   // of Apache Kafka
	proc *process // of the embedded broker
}

// startCluster starts a cluster for a test and its subtests.
func startCluster(t *testing.T, version string, brokers int) *cluster {
	t.Helper()
	c := &cluster{t: t, version: version, dir: t.TempDir()}
	if version == "" {
		c.startEmbedded()
	} else {
		c.startKafka(brokers)
	}
	c.admin = must(kgo.NewClient(kgo.SeedBrokers(c.addrs()...), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RequestRetries(20), kgo.RetryTimeout(time.Minute)))(t)
	t.Cleanup(c.admin.Close)
	return c
}

func (c *cluster) startEmbedded() {
	c.world = newWorld(c.t)
	p := c.world.broker()
	c.nodes = []*node{{id: 0, addr: c.world.addr(), proc: p}}
}

// startKafka starts nodes with two more listeners that are reached through proxies. A member that uses them can be
// cut off from all brokers without affecting the others.
func (c *cluster) startKafka(brokers int) {
	c.links, c.slow = newNetwork(c.t), newNetwork(c.t)
	port := freePorts(c.t, 4*brokers)
	const listeners = `listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d,CUT://127.0.0.1:%d,SLOW://127.0.0.1:%d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d,CUT://%[5]s,SLOW://%[6]s
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CUT:PLAINTEXT,SLOW:PLAINTEXT
`
	proxy := func(n *network, port int) string {
		return n.listen(must(net.Listen("tcp", "127.0.0.1:0"))(c.t), fmt.Sprintf("127.0.0.1:%d", port))
	}
	for i := range brokers {
		own, more := port+2*i, port+2*brokers+2*i
		n := &node{id: int32(i + 1), addr: fmt.Sprintf("127.0.0.1:%d", own), dir: c.dir}
		if brokers > 1 {
			n.dir = filepath.Join(c.dir, strconv.Itoa(i+1))
		}
		must(0, os.MkdirAll(n.dir, 0o700))(c.t)
		text := fmt.Sprintf(listeners, own, own+1, more, more+1, proxy(c.links, more), proxy(c.slow, more+1))
		must(0, os.WriteFile(filepath.Join(n.dir, "extra.properties"), []byte(text), 0o600))(c.t)
		c.nodes = append(c.nodes, n)
	}
	c.t.Cleanup(func() {
		if c.t.Failed() && os.Getenv("VOXELSTREAM_KAFKA_LOGS") != "" {
			for _, n := range c.nodes {
				b, _ := os.ReadFile(filepath.Join(n.dir, "kafka.log"))
				c.t.Logf("node %d: %s", n.id, tail(string(b)))
			}
		}
		realKafka(c.t, "kill", c.dir)
	})
	if brokers == 1 {
		realKafka(c.t, "start", c.dir, strconv.Itoa(port), c.version)
		return
	}
	realKafka(c.t, "start", c.dir, strconv.Itoa(port), c.version, strconv.Itoa(brokers))
}

// name is the cluster in words.
func (c *cluster) name() string {
	switch {
	case c.version == "":
		return "Embedded broker"
	case len(c.nodes) == 1:
		return "Apache Kafka " + c.version + ", one broker"
	}
	return fmt.Sprintf("Apache Kafka %s, %d brokers", c.version, len(c.nodes))
}

func (c *cluster) addrs() (all []string) {
	for _, n := range c.nodes {
		all = append(all, n.addr)
	}
	return all
}

// kill ends a broker with SIGKILL.
func (c *cluster) kill(n *node) {
	c.t.Helper()
	if n.proc != nil {
		n.proc.kill()
		return
	}
	realKafka(c.t, "kill", n.dir)
}

// start starts a broker again, on its data.
func (c *cluster) start(n *node) {
	c.t.Helper()
	_, port, _ := net.SplitHostPort(n.addr)
	switch {
	case n.proc != nil:
		n.proc = c.world.startBroker(must(strconv.Atoi(port))(c.t))
	case len(c.nodes) == 1:
		realKafka(c.t, "start", n.dir, port, c.version)
	default:
		realKafka(c.t, "start", n.dir)
	}
}

// signal sends SIGSTOP or SIGCONT to a broker.
func (c *cluster) signal(n *node, s syscall.Signal) {
	c.t.Helper()
	if n.proc != nil {
		must(0, n.proc.cmd.Process.Signal(s))(c.t)
		return
	}
	realKafka(c.t, map[syscall.Signal]string{syscall.SIGSTOP: "freeze", syscall.SIGCONT: "thaw"}[s], n.dir)
}

// node returns the node with an ID.
func (c *cluster) node(id int32) *node {
	i := slices.IndexFunc(c.nodes, func(n *node) bool { return n.id == id })
	if i < 0 {
		c.t.Fatalf("there is no broker %d", id)
	}
	return c.nodes[i]
}

// ask sends a request with the admin client, and repeats it until the response has no error. check returns the error
// code of the answer.
func ask[Res any](t testing.TB, what string, send func(context.Context) (Res, error), check func(Res) int16) Res {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		res, err := send(ctx)
		cancel()
		if err == nil {
			err = kerr.ErrorForCode(check(res))
		}
		if err == nil {
			return res
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// create makes a topic and waits until each partition has a leader. A topic that was deleted just before may take a
// moment to be gone.
func (c *cluster) create(name string, partitions int, config map[string]string) {
	c.createAt(name, partitions, -1, config)
}

// createAt is create with a replication factor other than that of the cluster.
func (c *cluster) createAt(name string, partitions, replicas int, config map[string]string) {
	c.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, int32(partitions), int16(replicas)
	for k, v := range config {
		entry := kmsg.NewCreateTopicsRequestTopicConfig()
		entry.Name, entry.Value = k, &v
		topic.Configs = append(topic.Configs, entry)
	}
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Topics, r.TimeoutMillis = append(r.Topics, topic), 20_000
	ask(c.t, "create "+name, func(ctx context.Context) (*kmsg.CreateTopicsResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.CreateTopicsResponse) int16 { return res.Topics[0].ErrorCode })
	c.leaders(name, partitions)
}

// delete deletes a topic.
func (c *cluster) delete(name string) {
	c.t.Helper()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = new(name)
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Topics, r.TopicNames, r.TimeoutMillis = append(r.Topics, topic), []string{name}, 20_000
	ask(c.t, "delete "+name, func(ctx context.Context) (*kmsg.DeleteTopicsResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.DeleteTopicsResponse) int16 { return res.Topics[0].ErrorCode })
}

// grow adds partitions to a topic until it has so many.
func (c *cluster) grow(name string, partitions int) {
	c.t.Helper()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = name, int32(partitions)
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Topics, r.TimeoutMillis = append(r.Topics, topic), 20_000
	ask(c.t, "add partitions to "+name, func(ctx context.Context) (*kmsg.CreatePartitionsResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.CreatePartitionsResponse) int16 { return res.Topics[0].ErrorCode })
	c.leaders(name, partitions)
}

// configure sets a configuration of a topic.
func (c *cluster) configure(name, key, value string) {
	c.t.Helper()
	entry := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	entry.Name, entry.Value = key, &value
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, name
	resource.Configs = append(resource.Configs, entry)
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Resources = append(r.Resources, resource)
	ask(c.t, "configure "+name, func(ctx context.Context) (*kmsg.IncrementalAlterConfigsResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.IncrementalAlterConfigsResponse) int16 { return res.Resources[0].ErrorCode })
}

// leaders waits until a topic has as many partitions with leaders as wanted, and returns its partitions.
func (c *cluster) leaders(name string, want int) []kmsg.MetadataResponseTopicPartition {
	c.t.Helper()
	r := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new(name)
	r.Topics = append(r.Topics, topic)
	res := ask(c.t, "find the leaders of "+name, func(ctx context.Context) (*kmsg.MetadataResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.MetadataResponse) int16 {
		ps := res.Topics[0].Partitions
		if len(ps) < want || slices.ContainsFunc(ps, func(p kmsg.MetadataResponseTopicPartition) bool {
			return p.Leader < 0 || p.ErrorCode != 0
		}) {
			return kerr.LeaderNotAvailable.Code
		}
		return res.Topics[0].ErrorCode
	})
	ps := res.Topics[0].Partitions
	slices.SortFunc(ps, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
	return ps
}

// coordinator is the broker that coordinates a group.
func (c *cluster) coordinator(group string) *node {
	c.t.Helper()
	r := kmsg.NewPtrFindCoordinatorRequest()
	r.CoordinatorKey, r.CoordinatorKeys = group, []string{group}
	id := int32(-1)
	ask(c.t, "find the coordinator", func(ctx context.Context) (*kmsg.FindCoordinatorResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.FindCoordinatorResponse) int16 {
		if len(res.Coordinators) > 0 {
			id = res.Coordinators[0].NodeID
			return res.Coordinators[0].ErrorCode
		}
		id = res.NodeID
		return res.ErrorCode
	})
	return c.node(id)
}

// lead makes brokers the leaders of all partitions of a topic by putting them first among the replicas.
func (c *cluster) lead(name string, first func(p kmsg.MetadataResponseTopicPartition) int32) {
	c.t.Helper()
	topic := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	topic.Topic = name
	var numbers []int32
	for _, p := range c.leaders(name, 1) {
		part := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		leader := first(p)
		part.Partition, part.Replicas = p.Partition, []int32{leader}
		for _, replica := range p.Replicas {
			if replica != leader {
				part.Replicas = append(part.Replicas, replica)
			}
		}
		topic.Partitions = append(topic.Partitions, part)
		numbers = append(numbers, p.Partition)
	}
	r := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	r.Topics, r.TimeoutMillis = append(r.Topics, topic), 20_000
	ask(c.t, "order the replicas of "+name, func(ctx context.Context) (*kmsg.AlterPartitionAssignmentsResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.AlterPartitionAssignmentsResponse) int16 { return res.ErrorCode })
	c.elect(name, 0, numbers...)
}

// elect elects leaders: the first of the replicas (0), or one that may lack messages (1).
func (c *cluster) elect(name string, how int8, partitions ...int32) {
	c.t.Helper()
	elected := kmsg.NewElectLeadersRequestTopic()
	elected.Topic, elected.Partitions = name, partitions
	e := kmsg.NewPtrElectLeadersRequest()
	e.ElectionType, e.Topics, e.TimeoutMillis = how, append(e.Topics, elected), 20_000
	ask(c.t, "elect the leaders of "+name, func(ctx context.Context) (*kmsg.ElectLeadersResponse, error) {
		return e.RequestWith(ctx, c.admin)
	}, func(res *kmsg.ElectLeadersResponse) int16 { return res.ErrorCode })
}

// truncate deletes the records of a partition below an offset, as retention does.
func (c *cluster) truncate(name string, partition int32, offset int64) {
	c.t.Helper()
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = partition, offset
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic, topic.Partitions = name, append(topic.Partitions, part)
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Topics, r.TimeoutMillis = append(r.Topics, topic), 20_000
	ask(c.t, "delete records of "+name, func(ctx context.Context) (*kmsg.DeleteRecordsResponse, error) {
		return r.RequestWith(ctx, c.admin)
	}, func(res *kmsg.DeleteRecordsResponse) int16 { return res.Topics[0].Partitions[0].ErrorCode })
}

// ends returns the end offset of each partition of a topic; none if the topic does not exist.
func (c *cluster) ends(name string) (ends []int64) {
	r := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = new(name)
	r.Topics = append(r.Topics, t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	meta, err := r.RequestWith(ctx, c.admin)
	if err != nil || meta.Topics[0].ErrorCode != 0 {
		return nil
	}
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for _, p := range meta.Topics[0].Partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = p.Partition, -1
		topic.Partitions = append(topic.Partitions, part)
	}
	l := kmsg.NewPtrListOffsetsRequest()
	l.ReplicaID, l.IsolationLevel, l.Topics = -1, 1, append(l.Topics, topic)
	res, err := l.RequestWith(ctx, c.admin)
	if err != nil || len(res.Topics) == 0 {
		return nil
	}
	ends = make([]int64, len(meta.Topics[0].Partitions))
	for _, p := range res.Topics[0].Partitions {
		if p.ErrorCode != 0 || int(p.Partition) >= len(ends) {
			return nil
		}
		ends[p.Partition] = p.Offset
	}
	return ends
}

// lag is how many messages of a topic a group has not committed, and what it has committed in words. The last message of
// a partition may be a marker of a transaction, for which nothing is committed.
func (c *cluster) lag(group, name string) (messages int64, committed string) {
	ends := c.ends(name)
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic = name
	grouped := kmsg.NewOffsetFetchRequestGroupTopic()
	grouped.Topic = name
	for p := range ends {
		topic.Partitions = append(topic.Partitions, int32(p))
		grouped.Partitions = append(grouped.Partitions, int32(p))
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, append(g.Topics, grouped)
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Group, r.Topics, r.Groups = group, append(r.Topics, topic), append(r.Groups, g)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	res, err := r.RequestWith(ctx, c.admin)
	if err != nil {
		return 1, err.Error()
	}
	at := map[int32]int64{}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			at[p.Partition] = max(0, p.Offset)
		}
	}
	for _, g := range res.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				at[p.Partition] = max(0, p.Offset)
			}
		}
	}
	for p, end := range ends {
		if behind := end - at[int32(p)]; behind > 1 {
			messages += behind
		}
	}
	return messages, fmt.Sprint(at)
}

// records reads a topic from its start with the client of this process. It returns nil if that fails, for example
// while a broker is down.
func (c *cluster) records(name string) (all []*kgo.Record) {
	ends := c.ends(name)
	at, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for p, end := range ends {
		if end > 0 {
			at[int32(p)], left[int32(p)] = kgo.NewOffset().AtStart(), end
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs()...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: at}),
		kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return nil
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return all
}

// header is the value of a header of a record.
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
