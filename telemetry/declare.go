package telemetry

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/pipeline"
)

// namespace begins the name of every metric of ours.
const namespace = "voxelstream_"

// Kind is what a metric is.
type Kind string

// The kinds of metrics.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric declares a metric.
type Metric struct {
	Name, Help string
	Kind       Kind
	Labels     []string
}

// labelPart is the label of the part that reports.
const labelPart = "part"

// counter and gauge declare a metric of one label, the part.
func counter(name, help string) Metric {
	return Metric{Name: namespace + name + "_total", Help: help, Kind: Counter, Labels: []string{labelPart}}
}

func gauge(name, help string) Metric {
	return Metric{Name: namespace + name, Help: help, Kind: Gauge, Labels: []string{labelPart}}
}

// events are the counters of the pipeline's events.
var events = []struct {
	event pipeline.Event
	Metric
}{
	{pipeline.EventRead, counter("read", "Values read from a source, or messages from a topic.")},
	{pipeline.EventFiltered, counter("filtered", "Values that a stage dropped on purpose.")},
	{pipeline.EventWritten, counter("written", "Values durable at a sink, or messages acknowledged by a topic.")},
	{pipeline.EventRepeated, counter("repeated", "Values that a sink already holds, or packets that came twice.")},
	{pipeline.EventRetried, counter("retries", "Attempts that failed and were made again.")},
	{pipeline.EventFailed, counter("failures", "Attempts that failed and were given up.")},
	{pipeline.EventDeadLetter, counter("dead_letters", "Values and messages that a part gave up for good.")},
	{pipeline.EventDeadLetterStored, counter("dead_letters_stored", "Messages stored on the dead letter topic.")},
	{pipeline.EventUnfinished, counter("unfinished", "Values that were left for the next start.")},
	{pipeline.EventDropped, counter("dropped", "Values that a best-effort sink left out, and packets that the kernel "+
		"dropped.")},
	{pipeline.EventDamaged, counter("damaged", "Messages with a wrong checksum, and packets that cannot be decoded.")},
	{pipeline.EventLost, counter("lost", "Messages that retention deleted before they were read, and packets of a "+
		"sensor that never "+
		"arrived. Anything but 0 is a loss of data.")},
	{pipeline.EventRebalance, counter("rebalances", "Assignments of partitions by the consumer group.")},
	{pipeline.EventBytes, counter("bytes", "Bytes of messages: read by a consumer (not compressed), sent by a "+
		"producer (compressed), or in "+
		"requests to the embedded broker.")},
	{pipeline.EventPacket, counter("packets", "Packets of a sensor.")},
	{pipeline.EventMissed, counter("missed", "Sweeps of a sensor left out because the reader was too far behind.")},
	{pipeline.EventFile, counter("files", "Files taken from a watched folder or a request.")},
	{pipeline.EventRequest, counter("requests", "Requests to the embedded broker, or to an HTTP source of files.")},
	{pipeline.EventRefused, counter("refused", "Requests that a server did not accept.")},
}

// levels are the gauges of the pipeline's levels.
var levels = []struct {
	level pipeline.Level
	Metric
}{
	{pipeline.LevelBytesInFlight, gauge("in_flight_bytes", "Bytes in flight, which pipeline.budget bounds.")},
	{pipeline.LevelValuesInFlight, gauge("in_flight_values", "Values in flight.")},
	{pipeline.LevelQueue, gauge("queue_length", "Batches that wait for a sink.")},
	{pipeline.LevelPartitions, gauge("consumer_partitions", "Partitions that this member of the consumer group owns.")},
	{pipeline.LevelConnections, gauge("connections", "Open connections: ours to the Kafka cluster, or clients' to the "+
		"embedded broker.")},
	{pipeline.LevelStoredBytes, gauge("stored_bytes", "Size of the embedded broker's log on disk.")},
}

// Metrics that are not one event or level.
var (
	lag = Metric{
		namespace + "consumer_lag_messages",
		"Messages not committed yet, of a partition that this member of the consumer group owns.",
		Gauge,
		[]string{"topic", "partition"},
	}
	duration = Metric{
		namespace + "operation_duration_seconds", "Time that a part took for one value or one batch.", Histogram,
		[]string{labelPart},
	}
	size = Metric{
		namespace + "operation_values", "Values in one operation: the size of a batch.", Histogram,
		[]string{labelPart},
	}
	failed = Metric{
		namespace + "operation_errors_total",
		"Operations that failed. Reasons: permanent (the value is at fault), partial (some values of a batch), temporary.",
		Counter,
		[]string{labelPart, "reason"},
	}
	otherEvents = Metric{
		namespace + "events_total", "Events that have no metric of their own.", Counter, []string{labelPart, "event"},
	}
	otherLevels = Metric{
		namespace + "level", "Levels that have no metric of their own.", Gauge,
		[]string{labelPart, "level"},
	}
	buildInfo = Metric{
		namespace + "build_info", "Always 1. The labels say what runs.", Gauge,
		[]string{"version", "commit", "go_version", "kernels"},
	}
	modelInfo = Metric{
		namespace + "model_info", "Always 1. The labels name the model.", Gauge,
		[]string{"name", "version"},
	}
	workers = Metric{
		namespace + "hdf5_workers_total", "HDF5 worker processes started, one for each file.", Counter,
		nil,
	}
	workersDied = Metric{
		namespace + "hdf5_worker_failures_total", "HDF5 worker processes that died or did not answer in time.", Counter, nil,
	}
)

// durationBounds are the upper bounds of the buckets of operation_duration_seconds: one small volume takes a tenth of a
// millisecond, a broker that is away many seconds.
var durationBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// sizeBounds are those of operation_values.
var sizeBounds = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}

// Declared lists all metrics of ours.
func Declared() []Metric {
	out := []Metric{buildInfo, modelInfo, duration, size, failed}
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
		"`--http :8080` serves these on `/metrics`, together with those of the Go runtime (`go_...`) and of the process " +
		"(`process_...`). The label `part`\n" +
		"names what reports: a stage (`decode`), a sink (`classifications.jsonl`), a topic that is read or written " +
		"(`consumer volumes`,\n" +
		"`producer classifications`), a live source (`udp://:2368`). A metric appears with its first event.\n\n" +
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
