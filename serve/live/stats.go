package live

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

const typeRun = "run"

// Run is the state of a pipeline: the answer of /api/run, and the header of frames of type "run".
type Run struct {
	Type    string    `json:"type"`
	Time    time.Time `json:"time"`
	Started time.Time `json:"started"`
	// Ended is when everything of all inputs was classified. It is absent while more may come.
	Ended time.Time `json:"ended,omitzero"`
	// Throughput is the number of classifications per second over the last second, Total that since the start.
	Throughput float64 `json:"throughput"`
	Total      int64   `json:"total"`
	// Stages are those that have worked, in the order in which a volume passes them.
	Stages []Stage `json:"stages"`
	Lag    []Lag   `json:"lag,omitempty"`
	// Batches are the sizes of the batches of the network.
	Batches []Batches `json:"batches,omitempty"`
	// Dropped, Retries, Failures and DeadLetters are sums over all parts.
	Dropped     int64       `json:"dropped"`
	Retries     int64       `json:"retries"`
	Failures    int64       `json:"failures"`
	DeadLetters int64       `json:"dead_letters"`
	Streams     []StreamRun `json:"streams,omitempty"`
	Classes     []Class     `json:"classes,omitempty"`
	Drift       *Drift      `json:"drift"`
	Confusion   *Confusion  `json:"confusion"`
	// Unfamiliar counts the volumes that are unlike the training data.
	Unfamiliar int64 `json:"unfamiliar"`
}

// FrameType returns "run".
func (*Run) FrameType() string { return typeRun }

// Stage is the work of a part. Its times are those of whole batches, over the last 10 to 20 seconds.
type Stage struct {
	Name string `json:"name"`
	// Rate is the number of values per second over the last second.
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
}

// Lag is the number of messages of a partition that are not committed yet.
type Lag struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Lag       int64  `json:"lag"`
}

// Batches counts batches of at most UpTo values, and of more than the previous one.
type Batches struct {
	UpTo  int   `json:"upto"`
	Count int64 `json:"count"`
}

// StreamRun counts the classifications of a stream.
type StreamRun struct {
	Stream string  `json:"stream"`
	Rate   float64 `json:"rate"`
	Total  int64   `json:"total"`
	// Last is when the newest classification was reported.
	Last time.Time `json:"last"`
	// N is the number of the newest classification, as [frame.Header] counts them. The client that has received frames up
	// to a lower one knows how many were left out, even if no further frame follows.
	N uint64 `json:"n,omitempty"`
}

// Class counts the classifications of a class. Reference is its share among the first ones, which drift is measured
// against.
type Class struct {
	Class     int     `json:"class"`
	Name      string  `json:"name,omitempty"`
	Count     int64   `json:"count"`
	Share     float64 `json:"share"`
	Reference float64 `json:"reference,omitempty"`
}

// Confusion counts labelled volumes: a row per label, a column per class.
type Confusion struct {
	Matrix [][]int64 `json:"matrix"`
	Names  []string  `json:"names,omitempty"`
}

// Limits of what is counted.
const (
	maxRunStreams = 64
	maxClasses    = 1000
	maxConfusion  = 64
	// rotateEvery is how long a histogram collects; quantiles are of two.
	rotateEvery = 10 * time.Second
)

// order lists the parts that are shown as stages, with their names. The sinks follow.
var order = []struct{ part, name string }{
	{"voxelize", "voxelize"},
	{"produce", "produce"},
	{"decode", "decode"},
	{"queue", "queue"},
	{"network", "inference"},
}

// Stats is a [pipeline.Observer] that keeps rates, quantiles, levels and classes. It is safe for concurrent use.
type Stats struct {
	started                            time.Time
	dropped, retries, failures, letter atomic.Int64
	batches                            [12]atomic.Int64 // by the number of bits of size-1

	partsMu sync.RWMutex
	parts   map[string]*part

	mu         sync.Mutex
	sinks      []string
	lag        map[string]int64
	measured   time.Time
	rotated    time.Time
	total      rate
	unfamiliar int64
	streams    map[string]*streamRate
	ended      time.Time
	classes    []int64  // by class
	names      []string // by class, of the model
	said       []string // by class, of the classifications
	drift      drift
	labelled   *[maxConfusion][maxConfusion]int64 // by label and class; nil without labels
}

// rate counts, and remembers the count of a second ago.
type rate struct {
	count, before int64
	perSecond     float64
}

func (r *rate) measure(seconds float64) {
	r.perSecond = float64(r.count-r.before) / seconds
	r.before = r.count
}

// streamRate counts the classifications of a stream.
type streamRate struct {
	rate
	last time.Time
}

// part collects the work of a part.
type part struct {
	values atomic.Int64
	rate   rate // guarded by Stats.mu
	times  [2]histogram
	turn   atomic.Int32 // the histogram that collects
}

func newStats() *Stats {
	now := time.Now()
	return &Stats{
		started: now, measured: now, rotated: now, parts: map[string]*part{}, lag: map[string]int64{},
		streams: map[string]*streamRate{},
	}
}

var _ pipeline.Observer = (*Stats)(nil)

// sinksAre sets the parts that are sinks.
func (s *Stats) sinksAre(parts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sinks = slices.Clone(parts)
}

// Count counts drops, retries, failures and dead letters.
func (s *Stats) Count(_ string, e pipeline.Event, n int) {
	switch e {
	case pipeline.EventDropped, pipeline.EventLost, pipeline.EventMissed:
		s.dropped.Add(int64(n))
	case pipeline.EventRetried:
		s.retries.Add(int64(n))
	case pipeline.EventFailed:
		s.failures.Add(int64(n))
	case pipeline.EventDeadLetter:
		s.letter.Add(int64(n))
	}
}

// Time records the work of a part.
func (s *Stats) Time(name string, n int, d time.Duration, _ error) {
	s.partsMu.RLock()
	p := s.parts[name]
	s.partsMu.RUnlock()
	if p == nil {
		s.partsMu.Lock()
		if p = s.parts[name]; p == nil {
			p = &part{}
			s.parts[name] = p
		}
		s.partsMu.Unlock()
	}
	p.values.Add(int64(n))
	p.times[p.turn.Load()].add(d, n)
	if name == "network" && n > 0 {
		s.batches[min(bits.Len(uint(n-1)), len(s.batches)-1)].Add(1)
	}
}

// Level records the lag of partitions.
func (s *Stats) Level(part string, l pipeline.Level, v int64) {
	if l != pipeline.LevelLag {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v == pipeline.Gone {
		delete(s.lag, part)
		return
	}
	s.lag[part] = v
}

// classified counts a classification.
func (s *Stats) classified(c *record.Classification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.count++
	if c.Unfamiliar {
		s.unfamiliar++
	}
	st := s.streams[c.Stream]
	if st == nil && len(s.streams) < maxRunStreams {
		st = &streamRate{}
		s.streams[c.Stream] = st
	}
	if st != nil {
		st.count++
		st.last = time.Now()
	}
	if c.Class < 0 || c.Class >= maxClasses {
		return
	}
	for len(s.classes) <= c.Class {
		s.classes, s.said = append(s.classes, 0), append(s.said, "")
	}
	if s.classes[c.Class]++; s.said[c.Class] == "" {
		s.said[c.Class] = c.Name
	}
	s.drift.add(c.Class)
	if c.Label != nil && *c.Label >= 0 && *c.Label < maxConfusion && c.Class < maxConfusion {
		if s.labelled == nil {
			s.labelled = &[maxConfusion][maxConfusion]int64{}
		}
		s.labelled[*c.Label][c.Class]++
	}
}

// classesAre sets the names of the model's classes.
func (s *Stats) classesAre(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = names
}

// end records that nothing more comes.
func (s *Stats) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = time.Now().UTC()
}

// measure computes the rates since the last call.
func (s *Stats) measure(now time.Time) {
	s.partsMu.RLock()
	parts := slices.Collect(maps.Values(s.parts))
	s.partsMu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds := now.Sub(s.measured).Seconds()
	if seconds <= 0 {
		return
	}
	s.measured = now
	s.total.measure(seconds)
	for _, st := range s.streams {
		st.measure(seconds)
	}
	rotate := now.Sub(s.rotated) >= rotateEvery
	if rotate {
		s.rotated = now
	}
	for _, p := range parts {
		p.rate.count = p.values.Load()
		p.rate.measure(seconds)
		if rotate {
			next := 1 - p.turn.Load()
			p.times[next].reset()
			p.turn.Store(next)
		}
	}
}

// Run returns the current state.
func (s *Stats) Run() *Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Run{
		Type: typeRun, Time: time.Now().UTC(), Started: s.started.UTC(), Ended: s.ended,
		Throughput: s.total.perSecond, Total: s.total.count,
		Dropped: s.dropped.Load(), Retries: s.retries.Load(), Failures: s.failures.Load(), DeadLetters: s.letter.Load(),
		Unfamiliar: s.unfamiliar, Stages: s.stages(), Drift: s.drift.result(), Confusion: s.confusion(),
	}
	for name, lag := range s.lag {
		topic, number, _ := cutLast(name, "/")
		if p, err := strconv.Atoi(number); err == nil {
			r.Lag = append(r.Lag, Lag{topic, p, lag})
		}
	}
	slices.SortFunc(r.Lag, func(a, b Lag) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), a.Partition-b.Partition)
	})
	for i := range s.batches {
		if n := s.batches[i].Load(); n > 0 {
			r.Batches = append(r.Batches, Batches{1 << i, n})
		}
	}
	for name, st := range s.streams {
		r.Streams = append(r.Streams, StreamRun{Stream: name, Rate: st.perSecond, Total: st.count, Last: st.last.UTC()})
	}
	slices.SortFunc(r.Streams, func(a, b StreamRun) int { return cmp.Compare(a.Stream, b.Stream) })
	for class, n := range s.classes {
		if n == 0 {
			continue
		}
		r.Classes = append(r.Classes, Class{
			Class: class, Name: s.name(class), Count: n, Share: float64(n) / float64(s.total.count),
			Reference: s.drift.reference(class),
		})
	}
	return r
}

// cutLast cuts s at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// stages returns the stages that have worked. s.mu must be held.
func (s *Stats) stages() []Stage {
	out := []Stage{}
	add := func(part, name string) {
		s.partsMu.RLock()
		p := s.parts[part]
		s.partsMu.RUnlock()
		if p == nil {
			return
		}
		var sum [buckets]uint64
		p.times[0].addTo(&sum)
		p.times[1].addTo(&sum)
		out = append(out, Stage{name, p.rate.perSecond, quantile(&sum, .5), quantile(&sum, .99)})
	}
	for _, o := range order {
		add(o.part, o.name)
	}
	for _, sink := range s.sinks {
		add(sink, sink)
	}
	return out
}

// name returns the name of a class: that of the model, or of a classification; "" without one. s.mu must be held.
func (s *Stats) name(class int) string {
	for _, names := range [][]string{s.names, s.said} {
		if class < len(names) && names[class] != "" {
			return names[class]
		}
	}
	return ""
}

// confusion returns the matrix, or nil without labels. s.mu must be held.
func (s *Stats) confusion() *Confusion {
	if s.labelled == nil {
		return nil
	}
	n := 0
	for i := range s.labelled {
		for k, count := range s.labelled[i] {
			if count > 0 {
				n = max(n, i+1, k+1)
			}
		}
	}
	c := &Confusion{Matrix: make([][]int64, n), Names: make([]string, n)}
	for i := range c.Matrix {
		c.Matrix[i] = slices.Clone(s.labelled[i][:n])
		c.Names[i] = cmp.Or(s.name(i), strconv.Itoa(i))
	}
	return c
}
