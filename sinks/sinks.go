// Package sinks defines what stores the classifications at the end of the pipeline: the contract of a [Sink], and the [Kind] by which a sink is
// opened from a path or a URL. Each kind is a folder, all lists them, sinktest is the suite that each must pass.
package sinks

// Target is where a sink writes, as the user named it: a path, or SCHEME:PATH?OPTIONS.
type Target struct {
	// Text is what the user wrote, with secrets left out; it names the sink in logs, metrics and reports.
	Text string
	// Scheme is that of the URL; empty for a path. Path is what stands behind it, without the query.
	Scheme, Path string
	// Query are the options as a URL's query.
	Query string
}
