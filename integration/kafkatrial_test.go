//go:build unix

package integration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// trial is one run of a case of the fault suite: topics of its own, volumes whose event IDs are known, and the members
// of a group that classify them.
type trial struct {
	*testing.T
	*cluster
	w    *world
	r    *rand.Rand
	bin  string // of members
	name string

	volumes, classifications, dead, group string

	partitions int // of volumes, for streams that begin from now on

	mu      sync.Mutex
	streams map[string]*upstreamKey
	sent    map[string]kind
	struck  time.Time // of the first fault
	members []*member
	began   []*process // all processes of members
	repeats map[*process]float64
	exits   []int // exit codes that members may have, besides 0 and 3
	// standstill is how long nothing happens before what is missing counts as lost.
	standstill time.Duration

	verdict verdict
}

// kind says what must happen to a message on the topic of volumes.
type kind int

const (
	toClassify    kind = iota // one classification
	mayClassify               // one classification or none, for a reason that is not the fault of a member
	neverClassify             // no classification
	toDeadLetter              // one dead letter
	mayDeadLetter
)

// upstreamKey is where the volumes of a stream go, and the number of the next one.
type upstreamKey struct {
	partition int32
	next      uint64
}

// verdict is what the independent client has counted.
type verdict struct {
	Records, Lost, Repeated, Reordered, Unknown int
	LostIDs                                     []string `json:"lost_ids"`
	RepeatedIDs                                 []string `json:"repeated_ids"`
	UnknownIDs                                  []string `json:"unknown_ids"`
	// Gap is the longest time in seconds without any classification after the first fault, PartitionGap that without
	// one from the same partition.
	Gap          float64
	PartitionGap float64 `json:"partition_gap"`
	// Dead are the dead letters.
	Dead struct {
		Lost, Repeated, Unknown int
		LostIDs                 []string `json:"lost_ids"`
		RepeatedIDs             []string `json:"repeated_ids"`
		UnknownIDs              []string `json:"unknown_ids"`
	}
	// Volumes is how many were sent that have a classification, Redelivered how many of those came again to a member
	// and were recognized.
	Volumes, Redelivered int
}

func (v *verdict) failures() (all []string) {
	for _, f := range []struct {
		what string
		n    int
		ids  []string
	}{
		{"volumes lost", v.Lost, v.LostIDs},
		{"classifications repeated", v.Repeated, v.RepeatedIDs},
		{"classifications out of order", v.Reordered, nil},
		{"classifications of what is none of the volumes", v.Unknown, v.UnknownIDs},
		{"dead letters lost", v.Dead.Lost, v.Dead.LostIDs},
		{"dead letters repeated", v.Dead.Repeated, v.Dead.RepeatedIDs},
		{"dead letters of good volumes", v.Dead.Unknown, v.Dead.UnknownIDs},
	} {
		if f.n > 0 {
			all = append(all, fmt.Sprintf("%d %s %s", f.n, f.what, strings.Join(f.ids, " ")))
		}
	}
	return all
}

var trials atomic.Int64

// newTrial makes the topics of a trial on a cluster.
func newTrial(t *testing.T, c *cluster, seed uint64) *trial {
	t.Helper()
	beside := *c // with failures of this test
	beside.t = t
	r := &trial{
		T: t, cluster: &beside, w: newWorld(t), r: rand.New(rand.NewPCG(seed, 0)), bin: voxelstream(t),
		name: fmt.Sprintf("t%d", trials.Add(1)), partitions: 4,
		standstill: time.Minute, streams: map[string]*upstreamKey{}, sent: map[string]kind{}, repeats: map[*process]float64{},
	}
	r.volumes, r.classifications, r.dead = r.name+".volumes", r.name+".classifications", r.name+".dlq"
	r.group = r.name + ".group"
	r.w.set("kafka.brokers", strings.Join(c.addrs(), ","))
	r.w.set("kafka.volumes", r.volumes)
	r.w.set("kafka.classifications", r.classifications)
	r.w.set("kafka.dead_letters", r.dead)
	r.w.set("kafka.group", r.group)
	r.w.set("pipeline.batch", 32)
	return r
}

// topics makes the three topics.
func (t *trial) topics() {
	t.Helper()
	t.create(t.volumes, t.partitions, nil)
	t.create(t.classifications, 4, nil)
	t.create(t.dead, 1, nil)
}

// strike notes what is done to the members or to the cluster.
func (t *trial) strike(format string, args ...any) {
	t.Helper()
	t.mu.Lock()
	if t.struck.IsZero() {
		t.struck = time.Now()
	}
	t.mu.Unlock()
	t.Logf("%s  %s", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// names are the names of some streams.
func names(first, count int) (all []string) {
	for i := range count {
		all = append(all, fmt.Sprintf("s%02d", first+i))
	}
	return all
}

// volume makes the next volume of a stream.
func (t *trial) volume(name string) (transport.Message, int32) {
	t.mu.Lock()
	s := t.streams[name]
	if s == nil {
		number, _ := strconv.Atoi(strings.TrimLeft(name, "s"))
		s = &upstreamKey{partition: int32(number % t.partitions)}
		t.streams[name] = s
	}
	seq := s.next
	s.next++
	t.mu.Unlock()
	return volumeOf(t.T, name, seq, 16, "Oranges"), s.partition
}

// sending is a message on its way to a partition.
type sending struct {
	transport.Message
	partition int32
	kind      kind
}

// next makes count volumes of streams in turn.
func (t *trial) next(count int, streams ...string) (all []sending) {
	for i := range count {
		m, p := t.volume(streams[i%len(streams)])
		all = append(all, sending{m, p, toClassify})
	}
	return all
}

// damaged is a copy of a volume that cannot be classified, with an ID of its own.
func damaged(s sending) sending {
	bad := s
	bad.Value = bytes.Clone(s.Value)
	bad.Value[len(bad.Value)/2] ^= 1 // its checksum stays
	bad.Headers = slices.Clone(s.Headers)
	bad.SetHeader(transport.HeaderEventID, s.EventID()+"!damaged")
	bad.kind = toDeadLetter
	return bad
}

// upstream is a producer of volumes. It stores each once.
func (t *trial) upstream(more ...kgo.Opt) *kgo.Client {
	t.Helper()
	c := must(kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(t.addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(t.volumes),
		kgo.ProducerBatchMaxBytes(4 << 20), kgo.MetadataMinAge(50 * time.Millisecond), kgo.UnknownTopicRetries(-1),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, more...)...))(t.T)
	return c
}

// record is the record of a message.
func (s *sending) record() *kgo.Record {
	r := &kgo.Record{Partition: s.partition, Key: s.Key, Value: s.Value}
	for _, h := range s.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

// send stores messages with a producer, and notes those that are acknowledged.
func (t *trial) send(c *kgo.Client, all ...sending) error {
	records := make([]*kgo.Record, len(all))
	kinds := map[*kgo.Record]kind{}
	for i := range all {
		records[i] = all[i].record()
		kinds[records[i]] = all[i].kind
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	results := c.ProduceSync(ctx, records...)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range results {
		if r.Err == nil {
			t.sent[header(r.Record, transport.HeaderEventID)] = kinds[r.Record]
		}
	}
	return results.FirstErr()
}

// produce stores messages.
func (t *trial) produce(all ...sending) {
	t.Helper()
	c := t.upstream()
	defer c.Close()
	for part := range slices.Chunk(all, 500) {
		if err := t.send(c, part...); err != nil {
			t.Fatal(err)
		}
	}
}

// flow stores volumes of streams at a rate per second until the function that it returns is called. spoil, unless it is
// nil, may add to what is sent.
func (t *trial) flow(rate int, spoil func([]sending) []sending, streams ...string) (stop func()) {
	t.Helper()
	c := t.upstream()
	end, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer c.Close()
		const tick = 50 * time.Millisecond
		due, sent, turn := time.Now(), 0, 0
		for n := 1; ; n++ {
			due = due.Add(tick)
			select {
			case <-end:
				done <- nil
				return
			case <-time.After(time.Until(due)):
			}
			if late := time.Since(due); late > time.Second {
				due = time.Now() // a broker was away: go on at the same rate
			}
			var some []sending
			for ; sent < rate*n*int(tick)/int(time.Second); sent++ {
				some = append(some, t.next(1, streams[turn%len(streams)])...)
				turn++
			}
			if spoil != nil {
				some = spoil(some)
			}
			if err := t.send(c, some...); err != nil {
				done <- err
				return
			}
		}
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			close(end)
			if err := <-done; err != nil {
				t.Errorf("upstream: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// mark changes the kind of everything that was sent so far and was to be classified.
func (t *trial) mark(from, to kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.sent {
		if k == from {
			t.sent[id] = to
		}
	}
}

// member is a member of the group: a process that may be killed, frozen and started again.
type member struct {
	t    *trial
	name string
	args []string
	env  []string
	// begin starts the process; nil is [exec.Cmd.Start].
	begin func(*exec.Cmd) error
	dial  func(context.Context, string, string) (net.Conn, error)

	*process
	lines  string // its JSON lines; "" for none
	frozen atomic.Bool
	slow   atomic.Bool // gets a tenth of its time
}

// join starts a member.
func (t *trial) join(args ...string) *member {
	t.Helper()
	m := t.prepare(args...)
	m.up()
	return m
}

// prepare makes a member that is started later.
func (t *trial) prepare(args ...string) *member {
	m := &member{t: t, name: fmt.Sprintf("m%d", len(t.members)+1), args: args}
	m.lines = t.w.path(m.name + ".jsonl")
	t.members = append(t.members, m)
	return m
}

// up starts the process of a member.
func (m *member) up() {
	m.t.Helper()
	begin := m.begin
	if begin == nil {
		begin = (*exec.Cmd).Start
	}
	m.frozen.Store(false)
	var watchers sync.WaitGroup
	m.t.Cleanup(watchers.Wait) // after the process has been killed
	args := append([]string{"classify", "--table=false", "--http", "127.0.0.1:0"}, m.args...)
	if m.lines != "" {
		args = append(args, "--out", m.lines)
	}
	p := startBy(m.t.T, begin, m.t.bin, m.t.w.dir, append(slices.Clone(m.t.w.env), m.env...), args...)
	m.process = p
	m.t.mu.Lock()
	m.t.began = append(m.t.began, p)
	m.t.mu.Unlock()
	watchers.Go(func() { m.throttling(p) })
	watchers.Go(func() { m.scraping(p) })
}

// assigned waits until a member has been assigned partitions.
func (m *member) assigned() {
	m.t.Helper()
	m.until(m.t.T, "an assignment of partitions", func() bool {
		return strings.Contains(m.stderr.String(), "assigned")
	})
}

// throttling stops the process for nine tenths of the time while the member is slow.
func (m *member) throttling(p *process) {
	const slice = 4 * time.Millisecond
	for !p.ended() {
		if !m.slow.Load() || m.frozen.Load() {
			time.Sleep(slice)
			continue
		}
		_ = p.cmd.Process.Signal(syscall.SIGSTOP) // it may have ended
		time.Sleep(9 * slice)
		if !m.frozen.Load() {
			_ = p.cmd.Process.Signal(syscall.SIGCONT)
		}
		time.Sleep(slice)
	}
}

// freeze stops the process of a member, thaw lets it continue. When freeze returns, its brokers have answered the fetches
// that were on their way, which wait for messages for 100 ms: what happens now is news to the member.
func (m *member) freeze() {
	m.t.Helper()
	m.frozen.Store(true)
	time.Sleep(50 * time.Millisecond) // for the throttle
	must(0, m.cmd.Process.Signal(syscall.SIGSTOP))(m.t)
	time.Sleep(500 * time.Millisecond)
}

func (m *member) thaw() {
	m.t.Helper()
	must(0, m.cmd.Process.Signal(syscall.SIGCONT))(m.t)
	m.frozen.Store(false)
}

// scraping notes how many repeats the process has recognized, once a second.
func (m *member) scraping(p *process) {
	var addr string
	for wait := time.Duration(0); !p.endsWithin(wait); wait = time.Second {
		if found := listening.FindStringSubmatch(p.stderr.String()); found != nil {
			addr = found[1]
		}
		if addr != "" && !m.frozen.Load() {
			if sum, ok := m.scrape(addr, "voxelstream_repeated_total", "producer "+m.t.classifications); ok {
				m.t.mu.Lock()
				m.t.repeats[p] = sum
				m.t.mu.Unlock()
			}
		}
	}
}

// scrape reads a metric of a part, or of the whole process if the part is empty.
func (m *member) scrape(addr, name, part string) (sum float64, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return 0, false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: m.dial}}
	answer, err := client.Do(r)
	if err != nil {
		return 0, false
	}
	defer answer.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, false
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	for _, x := range families[name].GetMetric() {
		if part == "" || label(x, "part") == part {
			sum += x.GetCounter().GetValue() + x.GetGauge().GetValue()
		}
	}
	return sum, err == nil
}

// count is how many classifications a member has stored in its file.
func (m *member) count() int { return lines(m.lines) }

// behind returns how many classifications of a kind, and how many dead letters, are still missing on the topics.
func (t *trial) behind() (missing, records int) {
	have := map[string]bool{}
	cs, ds := t.records(t.classifications), t.records(t.dead)
	for _, r := range cs {
		id, _, _ := strings.Cut(header(r, transport.HeaderEventID), "@")
		have[id] = true
	}
	for _, r := range ds {
		have["dead "+header(r, transport.HeaderEventID)] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.sent {
		if k == toClassify && !have[id] || k == toDeadLetter && !have["dead "+id] {
			missing++
		}
	}
	return missing, len(cs) + len(ds)
}

// quiet is how long nothing may be added to the topics before they are counted.
const quiet = 3 * time.Second

// settle waits until everything is classified and committed and nothing is added any more, or until nothing has happened
// for long.
func (t *trial) settle() {
	t.Helper()
	last, since := "", time.Now()
	for begin := time.Now(); ; time.Sleep(time.Second) {
		lag, committed := t.lag(t.group, t.volumes)
		now := fmt.Sprint(t.ends(t.classifications), t.ends(t.dead), committed)
		if now != last {
			last, since = now, time.Now()
			continue
		}
		still := time.Since(since)
		if still < quiet {
			continue
		}
		missing, records := t.behind()
		if missing == 0 && lag == 0 {
			return
		}
		if still > t.standstill {
			t.Logf("nothing has happened for %v: %d outcomes are missing, %d are there, the lag is %d", t.standstill, missing,
				records, lag)
			return
		}
		if time.Since(begin) > timeout {
			t.Fatalf("%d outcomes are missing after %v", missing, timeout)
		}
	}
}

// leave stops the members, which must exit in time.
func (t *trial) leave() {
	t.Helper()
	for _, m := range t.members {
		if m.process != nil && !m.ended() {
			m.thaw()
			m.terminate(t.T)
		}
	}
	for _, m := range t.members {
		if m.process == nil {
			continue
		}
		select {
		case <-m.done:
		case <-time.After(time.Minute):
			t.Errorf("%s does not end within a minute of SIGTERM: %s", m.name, tail(m.stderr.String()))
			m.process.kill()
			continue
		}
		code := m.cmd.ProcessState.ExitCode()
		if killed := code < 0; !killed && code != exitDone && code != exitDeadLetters && !slices.Contains(t.exits, code) {
			t.Errorf("%s has ended with code %d: %s", m.name, code, tail(m.stderr.String()))
		}
	}
}

// finish waits until everything is classified, ends the members and counts.
func (t *trial) finish() {
	t.Helper()
	t.settle()
	t.leave()
	t.count()
	for _, f := range t.verdict.failures() {
		t.Error(f)
	}
}

// count counts with the independent client.
func (t *trial) count() {
	t.Helper()
	job := struct {
		Brokers         string   `json:"brokers"`
		Classifications string   `json:"classifications"`
		DeadLetters     string   `json:"dead_letters"`
		Required        []string `json:"required"`
		Optional        []string `json:"optional"`
		Dead            []string `json:"dead"`
		DeadOptional    []string `json:"dead_optional"`
		Since           float64  `json:"since"`
	}{
		strings.Join(t.addrs(), ","), t.classifications, t.dead,
		[]string{},
		[]string{},
		[]string{},
		[]string{},
		float64(t.struck.UnixMilli()) / 1000,
	}
	for id, k := range t.sent {
		switch k {
		case toClassify:
			job.Required = append(job.Required, id)
		case mayClassify:
			job.Optional = append(job.Optional, id)
		case toDeadLetter:
			job.Dead = append(job.Dead, id)
		case mayDeadLetter:
			job.DeadOptional = append(job.DeadOptional, id)
		case neverClassify:
		}
	}
	if dir := os.Getenv("VOXELSTREAM_CLIENTS"); dir != "" {
		var stderr bytes.Buffer
		c := exec.Command(filepath.Join(dir, "bin", "python"), "scripts/kafka_count.py")
		c.Stdin, c.Stderr = bytes.NewReader(must(json.Marshal(job))(t.T)), &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("kafka_count.py: %v: %s", err, stderr.String())
		}
		must(0, json.Unmarshal(out, &t.verdict))(t.T)
	} else {
		t.countHere(job.Required, job.Optional, job.Dead, job.DeadOptional)
	}
	t.verdict.Volumes = len(job.Required) + len(job.Optional)
	for _, n := range t.repeats {
		t.verdict.Redelivered += int(n)
	}
	if t.struck.IsZero() {
		t.verdict.Gap, t.verdict.PartitionGap = 0, 0
	}
}

// countHere counts with franz-go, where there is no Python. It counts as kafka_count.py does.
func (t *trial) countHere(required, optional, dead, deadOptional []string) {
	var found []string
	seen, last := map[string]bool{}, map[string]int{}
	all, perSource := []time.Time{}, map[string][]time.Time{}
	records := t.records(t.classifications)
	slices.SortStableFunc(records, func(a, b *kgo.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	v := &t.verdict
	for _, r := range records {
		id, _, _ := strings.Cut(header(r, transport.HeaderEventID), "@")
		found = append(found, id)
		source, _, _ := strings.Cut(header(r, transport.HeaderVolume), "/")
		all, perSource[source] = append(all, r.Timestamp), append(perSource[source], r.Timestamp)
		if seen[id] {
			continue
		}
		seen[id] = true
		cut := strings.LastIndexByte(id, '/')
		number, _ := strconv.Atoi(id[cut+1:])
		place := fmt.Sprint(r.Partition, id[:max(cut, 0)])
		if at, ok := last[place]; ok && number < at {
			v.Reordered++
		}
		last[place] = max(last[place], number)
	}
	v.Records = len(found)
	v.Lost, v.Repeated, v.Unknown, v.LostIDs, v.RepeatedIDs, v.UnknownIDs = tallied(found, required, optional)
	v.Gap = t.longest(all)
	for _, some := range perSource {
		v.PartitionGap = max(v.PartitionGap, t.longest(some))
	}
	found = nil
	for _, r := range t.records(t.dead) {
		found = append(found, header(r, transport.HeaderEventID))
	}
	d := &v.Dead
	d.Lost, d.Repeated, d.Unknown, d.LostIDs, d.RepeatedIDs, d.UnknownIDs = tallied(found, dead, deadOptional)
}

func (t *trial) longest(times []time.Time) (most float64) {
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		if times[i].After(t.struck) {
			most = max(most, times[i].Sub(times[i-1]).Seconds())
		}
	}
	return most
}

func tallied(found, required, optional []string) (lost, repeated, unknown int, lostIDs, repeatedIDs, unknownIDs []string) {
	times, known := map[string]int{}, map[string]bool{}
	for _, id := range found {
		if times[id]++; times[id] > 1 {
			repeated++
			repeatedIDs = append(repeatedIDs, id)
		}
	}
	for _, id := range optional {
		known[id] = true
	}
	for _, id := range required {
		known[id] = true
		if times[id] == 0 {
			lost++
			lostIDs = append(lostIDs, id)
		}
	}
	for id := range times {
		if !known[id] {
			unknown++
			unknownIDs = append(unknownIDs, id)
		}
	}
	few := func(ids []string) []string {
		slices.Sort(ids)
		return ids[:min(5, len(ids))]
	}
	return lost, repeated, unknown, few(lostIDs), few(repeatedIDs), few(unknownIDs)
}
