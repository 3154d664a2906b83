// Package telemetry exports the reports that the parts of the program send to their observer, as Prometheus metrics.
// It is the only package that imports the metrics library.
package telemetry

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/voxelstream/voxelstream/pipeline"
)

// Options describe the process.
type Options struct {
	// Version, Commit and Kernels are labels of voxelstream_build_info.
	Version, Commit, Kernels string
	// Workers, if set, returns the number of HDF5 worker processes that were started, and of those that failed.
	Workers func() (started, failed int64)
}

// Metrics is an observer whose counts, durations and levels can be scraped. Each Metrics has its own registry.
type Metrics struct {
	registry *prometheus.Registry

	events      map[pipeline.Event]*prometheus.CounterVec
	otherEvents *prometheus.CounterVec
	levels      map[pipeline.Level]*prometheus.GaugeVec
	otherLevels *prometheus.GaugeVec
	lag         *prometheus.GaugeVec
	duration    *prometheus.HistogramVec
	size        *prometheus.HistogramVec
	scores      *prometheus.HistogramVec
	failed      *prometheus.CounterVec
	model       *prometheus.GaugeVec
	inference   inference
}

var _ pipeline.Observer = (*Metrics)(nil)

// New returns metrics, which include those of the Go runtime and of the process.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), events: map[pipeline.Event]*prometheus.CounterVec{},
		levels: map[pipeline.Level]*prometheus.GaugeVec{},
	}
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, e := range events {
		m.events[e.event] = m.counters(e.Metric)
	}
	for _, l := range levels {
		m.levels[l.level] = m.gauges(l.Metric)
	}
	m.otherEvents, m.otherLevels, m.failed = m.counters(otherEvents), m.gauges(otherLevels), m.counters(failed)
	m.lag, m.model = m.gauges(lag), m.gauges(modelInfo)
	m.duration, m.size = m.histograms(duration, durationBounds), m.histograms(size, sizeBounds)
	m.scores = m.histograms(scores, scoreBounds)
	m.inference = inference{
		requests: m.histograms(inferenceRequests, durationBounds),
		stages:   m.histograms(inferenceStages, durationBounds),
		failures: m.counters(inferenceFailures), rows: m.counters(inferenceRows),
		batch: m.histograms(inferenceBatch, sizeBounds), pending: m.gauges(inferencePending),
	}
	m.gauges(buildInfo).WithLabelValues(o.Version, o.Commit, runtime.Version(), o.Kernels).Set(1)
	if o.Workers != nil {
		m.registry.MustRegister(
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: workers.Name, Help: workers.Help}, func() float64 {
				started, _ := o.Workers()
				return float64(started)
			}),
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: workersDied.Name, Help: workersDied.Help}, func() float64 {
				_, failed := o.Workers()
				return float64(failed)
			}),
		)
	}
	return m
}

func (m *Metrics) counters(d Metric) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauges(d Metric) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histograms(d Metric, bounds []float64) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: bounds}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

// maxScrapes is the maximum number of concurrent scrapes.
const maxScrapes = 4

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics: true,
	})
}

// Count adds n to an event's counter. It ignores an n below 1.
func (m *Metrics) Count(part string, e pipeline.Event, n int) {
	if n < 1 {
		return
	}
	part = valid(part)
	if v, ok := m.events[e]; ok {
		v.WithLabelValues(part).Add(float64(n))
		return
	}
	m.otherEvents.WithLabelValues(part, valid(string(e))).Add(float64(n))
}

// Time records an operation on n values that took d.
func (m *Metrics) Time(part string, n int, d time.Duration, err error) {
	part = valid(part)
	m.duration.WithLabelValues(part).Observe(d.Seconds())
	m.size.WithLabelValues(part).Observe(float64(n))
	if err != nil {
		m.failed.WithLabelValues(part, reason(err)).Inc()
	}
}

// Score records the score of a classification.
func (m *Metrics) Score(part string, score float64) {
	m.scores.WithLabelValues(valid(part)).Observe(score)
}

// Level sets a gauge, or removes it for [pipeline.Gone].
func (m *Metrics) Level(part string, l pipeline.Level, v int64) {
	part = valid(part)
	vec, labels := m.levels[l], []string{part}
	switch {
	case l == pipeline.LevelLag:
		topic, partition := part, ""
		if i := strings.LastIndexByte(part, '/'); i >= 0 {
			topic, partition = part[:i], part[i+1:]
		}
		vec, labels = m.lag, []string{topic, partition}
	case vec == nil:
		vec, labels = m.otherLevels, []string{part, valid(string(l))}
	}
	if v == pipeline.Gone {
		vec.DeleteLabelValues(labels...)
		return
	}
	vec.WithLabelValues(labels...).Set(float64(v))
}

// Models sets the names and versions of the models that are loaded.
func (m *Metrics) Models(loaded ...[2]string) {
	m.model.Reset()
	for _, l := range loaded {
		m.model.WithLabelValues(valid(l[0]), valid(l[1])).Set(1)
	}
}

// valid makes s a valid label. Labels must be UTF-8, but paths may be anything.
func valid(s string) string { return strings.ToValidUTF8(s, "?") }

func reason(err error) string {
	if _, ok := errors.AsType[*pipeline.PartialError](err); ok {
		return "partial"
	}
	if pipeline.IsPermanent(err) {
		return "permanent"
	}
	return "temporary"
}
