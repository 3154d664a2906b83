package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// inference has the metrics of an inference server.
type inference struct {
	requests, stages, batch *prometheus.HistogramVec
	failures, rows          *prometheus.CounterVec
	pending                 *prometheus.GaugeVec
}

// InferenceStages records rows of a request that were computed, and the durations of the stages.
func (m *Metrics) InferenceStages(model, version string, rows int, queue, input, infer, output time.Duration) {
	model, version = valid(model), valid(version)
	m.inference.rows.WithLabelValues(model, version).Add(float64(rows))
	for _, s := range []struct {
		name string
		took time.Duration
	}{{"queue", queue}, {"input", input}, {"infer", infer}, {"output", output}} {
		m.inference.stages.WithLabelValues(model, version, s.name).Observe(s.took.Seconds())
	}
}

// InferenceDone records the end of a request. The reason is empty if it succeeded.
func (m *Metrics) InferenceDone(model, version, reason string, took time.Duration) {
	model, version = valid(model), valid(version)
	if reason == "" {
		m.inference.requests.WithLabelValues(model, version).Observe(took.Seconds())
		return
	}
	m.inference.failures.WithLabelValues(model, version, reason).Inc()
}

// InferenceBatch records the number of rows of a forward pass.
func (m *Metrics) InferenceBatch(model, version string, rows int) {
	m.inference.batch.WithLabelValues(valid(model), valid(version)).Observe(float64(rows))
}

// InferencePending sets the number of requests in progress.
func (m *Metrics) InferencePending(model, version string, requests int) {
	m.inference.pending.WithLabelValues(valid(model), valid(version)).Set(float64(requests))
}

// ModelLoaded records that a model was loaded or unloaded. The metrics of an unloaded version that are not counts or
// durations disappear.
func (m *Metrics) ModelLoaded(model, version string, loaded bool) {
	model, version = valid(model), valid(version)
	if loaded {
		m.model.WithLabelValues(model, version).Set(1)
		return
	}
	m.model.DeleteLabelValues(model, version)
	m.inference.pending.DeleteLabelValues(model, version)
}
