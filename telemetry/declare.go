package telemetry

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/pipeline"
)

// namespace is the prefix of all our metrics.
const namespace = "voxelstream_"

// Kind is the type of a metric.
type Kind string

// The types of metrics.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric is the declaration of a metric.
type Metric struct {
	Name, Help string
	Kind       Kind
	Labels     []string
}

// labelPart is the label that names the reporting part.
const labelPart = "part"

// The labels of the metrics of inference requests.
const (
	labelModel   = "model"
	labelVersion = "version"
)

// counter and gauge declare a metric with one label, the part.
func counter(name, help string) Metric {
	return Metric{Name: namespace + name + "_total", Help: help, Kind: Counter, Labels: []string{labelPart}}
}

func gauge(name, help string) Metric {
	return Metric{Name: namespace + name, Help: help, Kind: Gauge, Labels: []string{labelPart}}
}

// events lists the counters of the pipeline's events.
var events = []struct {
	event pipeline.Event
	Metric
}{
	{pipeline.EventRead, counter("read", "Values read from a source, or messages from a topic.")},
	{pipeline.EventFiltered, counter("filtered", "Values for which a stage returned no results.")},
	{pipeline.EventWritten, counter("written", "Values stored durably by a sink, or messages acknowledged by a "+
		"topic.")},
	{pipeline.EventRepeated, counter("repeated",
		"Values that a sink skipped as duplicates, or packets received twice.")},
	{pipeline.EventFenced, counter("fenced",
		"Messages that the broker refused because another process has taken over their partition. They are stored once, "+
			"by this process or the other.")},
	{pipeline.EventRetried, counter("retries", "Failed attempts that were retried.")},
	{pipeline.EventFailed, counter("failures", "Failed attempts that were not retried.")},
	{pipeline.EventDeadLetter, counter("dead_letters",
		"Values and messages that a part gave up for good and made dead letters.")},
	{pipeline.EventDeadLetterStored, counter("dead_letters_stored", "Messages stored on the dead letter topic.")},
	{pipeline.EventUnfinished, counter("unfinished", "Values left for the next start.")},
	{pipeline.EventDropped, counter("dropped",
		"Values dropped by a best-effort sink, and packets dropped by the kernel.")},
	{pipeline.EventDamaged, counter("damaged", "Messages with a wrong checksum, and packets that cannot be decoded.")},
	{pipeline.EventLost, counter("lost", "Messages that retention deleted before they were read, and packets that a sensor "+
		"sent but that never arrived. Anything but 0 means data loss.")},
	{pipeline.EventLogChanged, counter("log_changed", "How often a consumer found the log of a partition changed: the topic "+
		"was created again, or the log was truncated by an unclean leader election. Messages may be lost or read twice.")},
	{pipeline.EventRebalance, counter("rebalances", "Assignments of partitions to this member of the consumer group.")},
	{pipeline.EventBytes, counter("bytes", "Bytes read by a consumer (uncompressed), sent by a producer (compressed), or "+
		"received by the embedded broker.")},
	{pipeline.EventPacket, counter("packets", "Packets received from a sensor.")},
	{pipeline.EventMissed, counter("missed", "Sweeps of a sensor skipped because the reader was too far behind.")},
	{pipeline.EventFile, counter("files", "Files read from a watched folder or a request.")},
	{pipeline.EventPostponed, counter("postponed",
		"Temporary failures to read a file or a live source, such as a missing permission. It is tried again.")},
	{pipeline.EventQuarantined, counter("quarantined",
		"Items that are not read because the process died while reading them.")},
	{pipeline.EventRequest, counter("requests", "Requests to the embedded broker or to an HTTP input.")},
	{pipeline.EventRefused, counter("refused", "Requests that a server rejected.")},
	{pipeline.EventUnfamiliar, counter("unfamiliar", "Volumes that are unlike the training data of the model.")},
	{pipeline.EventCompared, counter("compared", "Volumes that a shadow model has also classified.")},
	{pipeline.EventDisagreed, counter("disagreed", "Volumes for which a shadow model found another class.")},
	{pipeline.EventLeftOut, counter("left_out",
		"Volumes that were selected for a shadow model but not classified by it, because there was no spare capacity "+
			"or it had failed.")},
	{pipeline.EventModelRefused, counter("model_refused",
		"Failures of a new model, by the part that tried it: shadow, canary or announcement. The current model stays "+
			"in use.")},
}

// levels lists the gauges of the pipeline's levels.
var levels = []struct {
	level pipeline.Level
	Metric
}{
	{pipeline.LevelBytesInFlight, gauge("in_flight_bytes", "Bytes in flight, limited by pipeline.budget.")},
	{pipeline.LevelValuesInFlight, gauge("in_flight_values", "Values in flight.")},
	{pipeline.LevelQueue, gauge("queue_length", "Batches waiting for a sink.")},
	{pipeline.LevelPartitions, gauge("consumer_partitions", "Partitions that this member of the consumer group owns.")},
	{pipeline.LevelConnections, gauge("connections",
		"Open connections to the Kafka cluster, or of clients to the embedded broker.")},
	{pipeline.LevelForgotten, gauge("forgotten_messages",
		"Messages of a topic that deduplication no longer takes into account, because they exceed the option window "+
			"of the sink.")},
	{pipeline.LevelStoredBytes, gauge("stored_bytes", "Size of the embedded broker's log on disk.")},
}

// Metrics that do not belong to a single event or level.
var (
	lag = Metric{
		namespace + "consumer_lag_messages",
		"Messages not yet committed, for each partition that this member of the consumer group owns.",
		Gauge,
		[]string{"topic", "partition"},
	}
	duration = Metric{
		namespace + "operation_duration_seconds", "Time that a part took to process a value or a batch.", Histogram,
		[]string{labelPart},
	}
	size = Metric{
		namespace + "operation_values", "Number of values in an operation, such as the size of a batch.", Histogram,
		[]string{labelPart},
	}
	scores = Metric{
		namespace + "classification_score", "Scores of the best classes.", Histogram, []string{labelPart},
	}
	failed = Metric{
		namespace + "operation_errors_total",
		"Failed operations. Reasons: permanent (the value is at fault), partial (some values of a batch failed), temporary.",
		Counter,
		[]string{labelPart, "reason"},
	}
	otherEvents = Metric{
		namespace + "events_total", "Events without a metric of their own.", Counter, []string{labelPart, "event"},
	}
	otherLevels = Metric{
		namespace + "level", "Levels without a metric of their own.", Gauge,
		[]string{labelPart, "level"},
	}
	buildInfo = Metric{
		namespace + "build_info", "Always 1. The labels describe the build.", Gauge,
		[]string{"version", "commit", "go_version", "kernels"},
	}
	modelInfo = Metric{
		namespace + "model_info", "Always 1. The labels name the models that are loaded.", Gauge,
		[]string{"name", "version"},
	}
	inferenceStages = Metric{
		namespace + "inference_stage_duration_seconds",
		"Durations of the stages of inference requests: queue (waiting), input (copying the input), infer (the " +
			"network), output (copying the output). All but queue are measured for the whole batch.",
		Histogram,
		[]string{labelModel, labelVersion, "stage"},
	}
	inferenceRequests = Metric{
		namespace + "inference_request_duration_seconds", "Durations of inference requests that succeeded.", Histogram,
		[]string{labelModel, labelVersion},
	}
	inferenceFailures = Metric{
		namespace + "inference_failures_total",
		"Inference requests that failed. Reasons: invalid, not_found, overloaded (the queue is full), unavailable, " +
			"deadline, canceled (the client went away), internal.",
		Counter,
		[]string{labelModel, labelVersion, "reason"},
	}
	inferenceRows = Metric{
		namespace + "inference_rows_total", "Rows of inference requests that were computed.", Counter,
		[]string{labelModel, labelVersion},
	}
	inferenceBatch = Metric{
		namespace + "inference_batch_rows", "Rows per forward pass.", Histogram,
		[]string{labelModel, labelVersion},
	}
	inferencePending = Metric{
		namespace + "inference_pending_requests", "Inference requests in progress, including those waiting.", Gauge,
		[]string{labelModel, labelVersion},
	}
	workers = Metric{
		namespace + "hdf5_workers_total", "HDF5 worker processes started. Each file has its own.", Counter,
		nil,
	}
	workersDied = Metric{
		namespace + "hdf5_worker_failures_total", "HDF5 worker processes that died or did not answer in time.", Counter, nil,
	}
)

// durationBounds are the upper bounds of the buckets of operation_duration_seconds. A small volume takes a tenth of a
// millisecond, a request to an unavailable broker many seconds.
var durationBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// scoreBounds are the upper bounds of the buckets of classification_score.
var scoreBounds = []float64{.1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .99, 1}

// sizeBounds are the upper bounds of the buckets of operation_values.
var sizeBounds = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}

// Declared lists all our metrics.
func Declared() []Metric {
	out := []Metric{
		buildInfo, modelInfo, duration, size, failed, scores,
		inferenceRequests, inferenceStages, inferenceFailures, inferenceRows, inferenceBatch, inferencePending,
	}
	for _, e := range events {
		out = append(out, e.Metric)
	}
	for _, l := range levels {
		out = append(out, l.Metric)
	}
	return append(out, lag, workers, workersDied, otherEvents, otherLevels)
}

// WriteReference writes the reference page of the metrics, as Markdown.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Metrics\nGenerated from the declarations in package telemetry.\n\n" +
		"`--http :8080` serves these metrics on `/metrics`, together with those of the Go runtime (`go_...`) and of the " +
		"process\n(`process_...`). The label `part` names the reporting part: a stage (`decode`), a sink " +
		"(`classifications.jsonl`), a topic that is\nread or written (`consumer volumes`, `producer classifications`), or " +
		"a live source (`udp://:2368`). A metric appears with its first event.\n\n" +
		"| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range Declared() {
		labels := make([]string, len(m.Labels))
		for i, l := range m.Labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, strings.Join(labels, ", "), m.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
