// Command grafana writes the Grafana dashboard, dashboard.json.
package main

import (
	"encoding/json"
	"os"
)

//go:generate go run . dashboard.json

func main() {
	if err := os.WriteFile(os.Args[1], write(), 0o644); err != nil { //nolint:gosec // a generator of this repository
		panic(err)
	}
}

// panel is a graph, or a number if it is a stat.
type panel struct {
	title, doc string
	kind       string // timeseries or stat
	unit       string // Grafana's name of the unit
	width      int    // of 24 columns
	// queries are expressions of PromQL with the legends of their series. $job is the selected job.
	queries [][2]string
}

// row is a row of panels.
type row struct {
	title  string
	panels []panel
}

const half, third, quarter = 12, 8, 6

// rows are the panels from top to bottom.
var rows = []row{
	{"Health", []panel{
		{
			"Processes", "Processes that Prometheus can scrape.", "stat", "short", quarter,
			[][2]string{{`sum(up{job=~"$job"})`, ""}},
		},
		{
			"Lag", "Messages that are not committed yet.", "stat", "short", quarter,
			[][2]string{{`sum(voxelstream_consumer_lag_messages{job=~"$job"})`, ""}},
		},
		{
			"Dead letters, 1 h", "Items given up for good.", "stat", "short", quarter,
			[][2]string{{`sum(increase(voxelstream_dead_letters_total{job=~"$job"}[1h])) or vector(0)`, ""}},
		},
		{
			"Lost, 1 h", "Messages deleted before they were read, and packets that never arrived. Anything but 0 is data loss.",
			"stat", "short", quarter,
			[][2]string{{`sum(increase(voxelstream_lost_total{job=~"$job"}[1h])) or vector(0)`, ""}},
		},
	}},
	{"Flow", []panel{
		{
			"Volumes per second", "Volumes through the network.", "timeseries", "short", third,
			[][2]string{{
				`sum by (instance) (rate(voxelstream_operation_values_sum{job=~"$job",part="network"}[1m]))`,
				"{{instance}}",
			}},
		},
		{
			"Read and written per second", "Messages read from topics, and values durable at sinks and topics.",
			"timeseries", "short", third,
			[][2]string{
				{`sum by (part) (rate(voxelstream_read_total{job=~"$job"}[1m]))`, "read {{part}}"},
				{`sum by (part) (rate(voxelstream_written_total{job=~"$job"}[1m]))`, "written {{part}}"},
			},
		},
		{
			"Bytes per second", "Read (uncompressed), sent (compressed).", "timeseries", "Bps", third,
			[][2]string{{`sum by (part) (rate(voxelstream_bytes_total{job=~"$job"}[1m]))`, "{{part}}"}},
		},
	}},
	{"Kafka", []panel{
		{
			"Lag by partition", "Reported by the member that owns the partition.", "timeseries", "short", third,
			[][2]string{{
				`max by (topic, partition) (voxelstream_consumer_lag_messages{job=~"$job"})`,
				"{{topic}}/{{partition}}",
			}},
		},
		{
			"Partitions by member", "", "timeseries", "short", third,
			[][2]string{{`voxelstream_consumer_partitions{job=~"$job"}`, "{{instance}} {{part}}"}},
		},
		{
			"Rebalances", "New assignments in 5 minutes.", "timeseries", "short", third,
			[][2]string{{`sum by (instance) (increase(voxelstream_rebalances_total{job=~"$job"}[5m]))`, "{{instance}}"}},
		},
	}},
	{"Latency", []panel{
		{
			"Duration of operations, p99", "Per batch, or per value.", "timeseries", "s", half,
			[][2]string{{`histogram_quantile(0.99, sum by (le, part) ` +
				`(rate(voxelstream_operation_duration_seconds_bucket{job=~"$job"}[5m])))`, "{{part}}"}},
		},
		{
			"Size of batches", "Mean number of values.", "timeseries", "short", quarter,
			[][2]string{{`sum by (part) (rate(voxelstream_operation_values_sum{job=~"$job"}[5m])) / ` +
				`sum by (part) (rate(voxelstream_operation_values_count{job=~"$job"}[5m]))`, "{{part}}"}},
		},
		{
			"Batches that wait for sinks", "A sink whose queue is never empty is the bottleneck.", "timeseries", "short",
			quarter,
			[][2]string{{`voxelstream_queue_length{job=~"$job"}`, "{{instance}} {{part}}"}},
		},
	}},
	{"Failures", []panel{
		{
			"Dead letters", "New dead letters in 5 minutes.", "timeseries", "short", third,
			[][2]string{{`sum by (part) (increase(voxelstream_dead_letters_total{job=~"$job"}[5m]))`, "{{part}}"}},
		},
		{
			"Retries per second", "Failed attempts that were retried.", "timeseries", "short", third,
			[][2]string{{`sum by (part) (rate(voxelstream_retries_total{job=~"$job"}[5m]))`, "{{part}}"}},
		},
		{
			"Repeated, damaged and dropped", "In 5 minutes. Repeated values were recognized and skipped.", "timeseries",
			"short", third,
			[][2]string{
				{`sum by (part) (increase(voxelstream_repeated_total{job=~"$job"}[5m]))`, "repeated {{part}}"},
				{`sum by (part) (increase(voxelstream_damaged_total{job=~"$job"}[5m]))`, "damaged {{part}}"},
				{`sum by (part) (increase(voxelstream_dropped_total{job=~"$job"}[5m]))`, "dropped {{part}}"},
			},
		},
	}},
	{"Model", []panel{
		{
			"Models", "Number of processes with each model. During a rollout, there are two lines.", "timeseries", "short",
			third,
			[][2]string{{`count by (name, version) (voxelstream_model_info{job=~"$job"})`, "{{name}} {{version}}"}},
		},
		{
			"Score, median", "Score of the best class. It falls when the data or the model changes.", "timeseries",
			"percentunit", third,
			[][2]string{{
				`histogram_quantile(0.5, sum by (le, part) ` +
					`(rate(voxelstream_classification_score_bucket{job=~"$job"}[5m])))`,
				"{{part}}",
			}},
		},
		{
			"Unfamiliar volumes", "Share of volumes that are unlike the training data.", "timeseries", "percentunit", third,
			[][2]string{{`sum(rate(voxelstream_unfamiliar_total{job=~"$job"}[5m])) / ` +
				`sum(rate(voxelstream_operation_values_sum{job=~"$job",part="network"}[5m]))`, "unfamiliar"}},
		},
		{
			"Shadow model", "Share of volumes for which it finds another class, and that it left out.", "timeseries",
			"percentunit", third,
			[][2]string{
				{`sum(rate(voxelstream_disagreed_total{job=~"$job"}[5m])) / ` +
					`sum(rate(voxelstream_compared_total{job=~"$job"}[5m]))`, "another class"},
				{`sum(rate(voxelstream_left_out_total{job=~"$job"}[5m])) / ` +
					`(sum(rate(voxelstream_left_out_total{job=~"$job"}[5m])) + ` +
					`sum(rate(voxelstream_compared_total{job=~"$job"}[5m])))`, "left out"},
			},
		},
		{
			"Models refused", "In 5 minutes: the model in use remains.", "timeseries", "short", third,
			[][2]string{{`sum by (part) (increase(voxelstream_model_refused_total{job=~"$job"}[5m]))`, "{{part}}"}},
		},
	}},
	{"Processes", []panel{
		{
			"Resident memory", "", "timeseries", "bytes", quarter,
			[][2]string{{`process_resident_memory_bytes{job=~"$job"}`, "{{instance}}"}},
		},
		{
			"In flight", "Limited by pipeline.budget.", "timeseries", "bytes", quarter,
			[][2]string{{`voxelstream_in_flight_bytes{job=~"$job"}`, "{{instance}} {{part}}"}},
		},
		{
			"Processors", "", "timeseries", "short", quarter,
			[][2]string{{`rate(process_cpu_seconds_total{job=~"$job"}[1m])`, "{{instance}}"}},
		},
		{
			"Goroutines and descriptors", "", "timeseries", "short", quarter,
			[][2]string{
				{`go_goroutines{job=~"$job"}`, "goroutines {{instance}}"},
				{`process_open_fds{job=~"$job"}`, "descriptors {{instance}}"},
			},
		},
	}},
}

type object = map[string]any

// write returns the dashboard as JSON.
func write() []byte {
	source := object{"type": "prometheus", "uid": "${datasource}"}
	var panels []object
	id, y := 0, 0
	for _, r := range rows {
		id++
		panels = append(panels, object{
			"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []object{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
		})
		y++
		x, height := 0, 8
		if r.panels[0].kind == "stat" {
			height = 4
		}
		for _, p := range r.panels {
			id++
			panels = append(panels, p.object(id, source, object{"x": x, "y": y, "w": p.width, "h": height}))
			x += p.width
		}
		y += height
	}
	b, err := json.MarshalIndent(object{
		"annotations": object{"list": []any{}},
		"uid":         "voxelstream", "title": "Voxelstream", "tags": []string{"voxelstream"}, "schemaVersion": 39,
		"editable": true, "graphTooltip": 1, "refresh": "30s", "timezone": "",
		"time":       object{"from": "now-1h", "to": "now"},
		"panels":     panels,
		"templating": object{"list": variables(source)},
	}, "", " ")
	if err != nil {
		panic(err) // the values above can be encoded
	}
	return append(b, '\n')
}

// variables are the selections at the top.
func variables(source object) []object {
	return []object{
		{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
		{
			"name": "job", "label": "Job", "type": "query", "datasource": source, "refresh": 2, "multi": true,
			"includeAll": true, "query": "label_values(voxelstream_build_info, job)",
			"current": object{"text": "All", "value": "$__all", "selected": true},
		},
	}
}

// object returns the panel in Grafana's schema.
func (p *panel) object(id int, source, position object) object {
	var targets []object
	for i, q := range p.queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "datasource": source, "expr": q[0], "legendFormat": q[1],
		})
	}
	options := object{
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}
	if p.kind == "stat" {
		options = object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "value", "graphMode": "area", "textMode": "auto", "justifyMode": "auto",
			"orientation": "auto", "wideLayout": true, "showPercentChange": false,
			"percentChangeColorMode": "standard",
		}
	}
	return object{
		"id": id, "type": p.kind, "title": p.title, "description": p.doc, "datasource": source, "gridPos": position,
		"targets": targets, "options": options,
		"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
	}
}
