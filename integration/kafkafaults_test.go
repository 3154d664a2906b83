//go:build unix

package integration

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// The kinds of clusters on which a case runs.
const (
	onEmbedded = 1 << iota
	onOne
	onThree

	onKafka = onOne | onThree
	onAny   = onEmbedded | onKafka
)

// faultCase is something that happens to members, brokers, topics or messages. After it, each volume that was
// acknowledged upstream must have one classification, in the order of its stream.
type faultCase struct {
	name string
	// what happens, as a clause for the table.
	what string
	on   int
	// quick cases run on the embedded broker in every go test, and external ones on one broker of Apache Kafka in
	// make external.
	quick, external bool
	// alone cases affect the brokers, so no other case runs beside them.
	alone bool
	run   func(t *trial)
}

func faultCases() []faultCase {
	return slices.Concat(memberFaults(), topicFaults(), messageFaults(), sinkFaults(), brokerFaults())
}

// size is the kind of a cluster.
func (c *cluster) size() int {
	switch {
	case c.version == "":
		return onEmbedded
	case len(c.nodes) == 1:
		return onOne
	}
	return onThree
}

// faultSeed is the seed of all choices: VOXELSTREAM_KAFKA_SEED, or the time.
func faultSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("VOXELSTREAM_KAFKA_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano() % 1e9)
	}
	return must(strconv.ParseUint(text, 10, 64))(t)
}

// TestKafkaFaults runs the quick cases on the embedded broker.
func TestKafkaFaults(t *testing.T) {
	slow(t)
	runFaults(t, "", 1, 1, func(c faultCase) bool { return c.quick })
}

// TestRealKafkaFaults runs a selection of the cases on one broker of Apache Kafka.
func TestRealKafkaFaults(t *testing.T) {
	needRealKafka(t)
	t.Parallel()
	runFaults(t, "3.9.1", 1, 1, func(c faultCase) bool { return c.external })
}

// TestFaultsOfKafka runs all cases on the cluster that make kafka-faults names.
func TestFaultsOfKafka(t *testing.T) {
	if os.Getenv("VOXELSTREAM_KAFKA_FAULTS") == "" {
		t.Skip("make kafka-faults sets VOXELSTREAM_KAFKA_FAULTS")
	}
	times := must(strconv.Atoi(cmp.Or(os.Getenv("VOXELSTREAM_KAFKA_TIMES"), "1")))(t)
	version, brokers := faultCluster(t)
	only := must(regexp.Compile(os.Getenv("VOXELSTREAM_KAFKA_CASE")))(t)
	table := runFaults(t, version, brokers, times, func(c faultCase) bool { return only.MatchString(c.name) })
	if page := os.Getenv("VOXELSTREAM_KAFKA_PAGE"); page != "" {
		must(0, table.write(page))(t)
	}
}

// faultCluster is the cluster that make kafka-faults and make soak name: a version of Apache Kafka and a number of
// brokers, or "" for the embedded broker.
func faultCluster(t *testing.T) (version string, brokers int) {
	t.Helper()
	brokers = must(strconv.Atoi(cmp.Or(os.Getenv("VOXELSTREAM_KAFKA_BROKERS"), "1")))(t)
	if brokers == 0 {
		return "", 1
	}
	return cmp.Or(os.Getenv("VOXELSTREAM_KAFKA_VERSION"), "3.9.1"), brokers
}

// faultRow is a line of the table: a case and its verdicts.
type faultRow struct {
	faultCase
	mu       sync.Mutex
	verdicts []verdict
	failed   int
}

// runFaults runs cases on a cluster, those that leave the brokers alone beside each other.
func runFaults(t *testing.T, version string, brokers, times int, selected func(faultCase) bool) *faultTable {
	t.Helper()
	seed := faultSeed(t)
	t.Logf("VOXELSTREAM_KAFKA_SEED=%d", seed)
	c := startCluster(t, version, brokers)
	table := &faultTable{cluster: c.name()}
	var cases []*faultRow
	for _, f := range faultCases() {
		if f.on&c.size() != 0 && selected(f) {
			cases = append(cases, &faultRow{faultCase: f})
		}
	}
	for n := range times {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %d", map[bool]string{false: "beside", true: "alone"}[alone], n+1), func(t *testing.T) {
				for i, row := range cases {
					if row.alone != alone {
						continue
					}
					t.Run(row.name, func(t *testing.T) {
						if !alone {
							t.Parallel()
						}
						row.once(t, c, seed+uint64(1000*n+i))
					})
				}
			})
		}
	}
	table.rows = cases
	return table
}

// once runs the case once.
func (row *faultRow) once(t *testing.T, c *cluster, seed uint64) {
	trial := newTrial(t, c, seed)
	defer func() {
		v := trial.verdict
		row.mu.Lock()
		defer row.mu.Unlock()
		if t.Skipped() {
			return
		}
		row.verdicts = append(row.verdicts, v)
		if t.Failed() {
			row.failed++
		}
		t.Logf("%s: %d volumes, %d lost, %d repeated, %d reordered, %d dead letters lost or repeated, "+
			"longest gap %.1f s (one partition %.1f s), %d redelivered",
			row.name, v.Volumes, v.Lost, v.Repeated, v.Reordered, v.Dead.Lost+v.Dead.Repeated+v.Dead.Unknown, v.Gap,
			v.PartitionGap, v.Redelivered)
	}()
	row.run(trial)
}

// TestKafkaFaultsMutant: a process that commits the highest finished offset in place of the contiguous prefix loses
// volumes in the case of killed members. A kill may come when nothing is ahead of what is unfinished, so there are
// several attempts.
func TestKafkaFaultsMutant(t *testing.T) {
	slow(t)
	c, seed := startCluster(t, "", 1), faultSeed(t)
	for attempt := range uint64(5) {
		trial := newTrial(t, c, seed+attempt)
		trial.bin = must(buildMutant())(t)
		killMembers(trial)
		trial.standstill = 15 * time.Second
		trial.settle()
		trial.leave()
		trial.count()
		t.Logf("the mutant has lost %d of %d volumes", trial.verdict.Lost, trial.verdict.Volumes)
		if trial.verdict.Lost > 0 {
			return
		}
	}
	t.Error("the mutant has lost nothing: the case of killed members proves nothing")
}

// pause waits for a random time.
func (t *trial) pause(from, to time.Duration) {
	time.Sleep(from + time.Duration(t.r.Int64N(int64(to-from)+1)))
}

// one is one of the members that run.
func (t *trial) one() *member {
	var alive []*member
	for _, m := range t.members {
		if m.process != nil && !m.ended() {
			alive = append(alive, m)
		}
	}
	return alive[t.r.IntN(len(alive))]
}

// pair starts two members and waits until both have partitions.
func (t *trial) pair() (a, b *member) {
	t.Helper()
	a, b = t.prepare(), t.prepare()
	t.both(a, b)
	return a, b
}

func (t *trial) both(a, b *member) {
	t.Helper()
	a.up()
	b.up()
	a.until(t.T, "partitions for both", func() bool {
		return strings.Contains(a.stderr.String(), "partitions=2") && strings.Contains(b.stderr.String(), "partitions=2")
	})
}

// some waits until members have stored so many more classifications.
func (t *trial) some(count int, members ...*member) {
	t.Helper()
	for _, m := range members {
		before := m.count()
		m.until(t.T, "classifications", func() bool { return m.count() >= before+count })
	}
}

// patience is the time limit for steps that normally take a moment.
const patience = testenv.Patience
