package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// Output is a sink given by a path or a URL, parsed and validated, but not open.
type Output struct {
	Target Target
	Kind   *Kind
	// Place is the unique name of what is written to: "file:/srv/results.jsonl".
	Place    string
	Delivery Delivery
	// Flush is the zero value if sinks of the kind are not flushed.
	Flush Flush

	options any
	secrets option.Secrets
}

// Delivery has the options of all kinds.
type Delivery struct {
	Policy Policy `yaml:"policy" doc:"required: the pipeline waits for this sink, and classifications that it rejects become dead letters. best-effort: classifications that it cannot accept are dropped and counted. Sinks that guarantee only best effort are best-effort by default."`
	Queue  int    `yaml:"queue" min:"1" max:"65536" doc:"Maximum number of batches queued for this sink. When the queue is full, a required sink applies backpressure and a best-effort sink drops batches."`
	// Attempts is negative if the URL does not set it.
	Attempts int `yaml:"attempts" min:"0" doc:"Maximum number of attempts to write a batch. 0 means no limit. Default: pipeline.attempts for a required sink, 3 for a best-effort one."`
}

// Flush has the limits of what a sink buffers before it is flushed. It is flushed when the first limit is reached.
type Flush struct {
	Rows  int           `yaml:"flush_rows" min:"1" doc:"Maximum number of classifications to buffer before they are flushed to durable storage."`
	Bytes option.Bytes  `yaml:"flush_bytes" min:"1B" doc:"Maximum estimated memory for buffered classifications."`
	Every time.Duration `yaml:"flush_every" above:"0s" doc:"Maximum time to buffer a classification."`
}

// Policy sets whether the pipeline waits for a sink.
type Policy string

// The policies.
const (
	PolicyRequired   Policy = "required"
	PolicyBestEffort Policy = "best-effort"
)

// Choices returns all policies.
func (Policy) Choices() []string { return []string{string(PolicyRequired), string(PolicyBestEffort)} }

// allOptions are the options that a URL can set.
type allOptions struct {
	List []any `yaml:",inline"`
}

// blank returns an output of a kind with the defaults of all options.
func blank(k *Kind, t Target) (*Output, *allOptions) {
	o := &Output{Target: t, Kind: k, Delivery: Delivery{Policy: PolicyRequired, Queue: 16, Attempts: -1}}
	if k.Guarantee == BestEffort {
		o.Delivery.Policy = PolicyBestEffort
	}
	list := []any{&o.Delivery}
	if k.Flush != nil {
		o.Flush = Flush{
			Rows: cmp.Or(k.Flush.Rows, 1<<16), Bytes: cmp.Or(k.Flush.Bytes, 64<<20),
			Every: cmp.Or(k.Flush.Every, 10*time.Second),
		}
		list = append(list, &o.Flush)
	}
	if k.Options != nil {
		if o.options = k.Options(t); o.options != nil {
			list = append(list, o.options)
		}
	}
	return o, &allOptions{list}
}

// Parse parses a path, a URL, or - for standard output. It opens nothing, and does not read secrets in files and in the
// environment. It returns all problems. Each begins with the text, without secrets.
func Parse(kinds []*Kind, text string, d Defaults) (*Output, []error) {
	if text == "" {
		return nil, []error{errors.New("found nothing, want a path or a URL")}
	}
	t := split(text)
	k, err := t.kind(kinds)
	if err != nil {
		return nil, []error{fmt.Errorf("%s: %w", t.masked(&struct{}{}), err)}
	}
	if len(k.Extensions) > 0 {
		err = t.fileName()
	}
	o, options := blank(k, t)
	var problems []error
	if err != nil {
		problems = append(problems, err)
	} else if err := o.resolve(d); err != nil {
		problems = append(problems, err)
	}
	var wrong []error
	o.secrets, wrong = option.ParseQuery(options, t.Query)
	if problems = append(problems, wrong...); len(wrong) == 0 {
		problems = append(problems, option.Validate(&allOptions{options.List[1:]})...)
	}
	o.Target.Text = split(text).masked(options)
	if o.Target.Scheme != "" && len(k.Extensions) == 0 {
		o.Target.Text = o.Target.masked(options) // with the defaults
	}
	for i, p := range problems {
		problems[i] = fmt.Errorf("%s: %w", o.Target.Text, p)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return o, nil
}

// resolve sets the place of the target.
func (o *Output) resolve(d Defaults) (err error) {
	if o.Kind.Resolve != nil {
		o.Place, err = o.Kind.Resolve(&o.Target, d)
		return err
	}
	o.Place, err = filePlace(o.Target.Path)
	return err
}

// ParseList parses several texts. outputs[i] is the output of texts[i], or nil if problems[i] lists its problems. One
// problem is that an earlier text writes to the same place.
func ParseList(kinds []*Kind, texts []string, d Defaults) (outputs []*Output, problems [][]error) {
	outputs, problems = make([]*Output, len(texts)), make([][]error, len(texts))
	places := map[string]string{}
	for i, text := range texts {
		o, wrong := Parse(kinds, text, d)
		if o != nil {
			if other, again := places[o.Place]; again {
				problems[i] = []error{fmt.Errorf("%s: found the same sink as %s, want each once", o.Target.Text, other)}
				continue
			}
			places[o.Place] = o.Target.Text
		}
		outputs[i], problems[i] = o, wrong
	}
	return outputs, problems
}

// Mask returns a text for Parse without the secrets in it.
func Mask(kinds []*Kind, text string) string {
	t := split(text)
	k, err := t.kind(kinds)
	if err != nil {
		return t.masked(&struct{}{})
	}
	_, options := blank(k, t)
	return t.masked(options)
}

// File returns the name of the file that the output writes to, or an empty string if it is not a file.
func (o *Output) File() string {
	if len(o.Kind.Extensions) == 0 {
		return ""
	}
	return o.Target.Path
}

// advise adds what to do to the error of a sink that did not recognize a file.
func (o *Output) advise(err error) error {
	info, missing := os.Stat(o.File())
	_, system := errors.AsType[*fs.PathError](err)
	if missing != nil || !info.Mode().IsRegular() || info.Size() == 0 || system || errors.Is(err, durable.ErrLocked) {
		return err
	}
	return fmt.Errorf("%w; the file is as it was: choose another name for the output", err)
}

// A sink that cannot be opened for a reason that may pass within seconds is tried again, openRetries times after pauses
// of openPause and twice as long each time.
const (
	openRetries = 3
	openPause   = 100 * time.Millisecond
)

// Open reads the secrets and opens the sink. Errors name the target. A best-effort sink does not report what it holds
// already.
func (o *Output) Open(ctx context.Context, s Services) (out pipeline.Output[record.Classification], err error) {
	fail := func(err error) error { return fmt.Errorf("sink %s: %w", o.Target.Text, err) }
	if err := o.secrets.Read(); err != nil {
		return out, fail(err)
	}
	if o.Delivery.Policy == PolicyBestEffort {
		s.Repeated = nil
	}
	var sink Sink
	for failures := 1; ; failures++ {
		if sink, err = o.Kind.Open(ctx, o.Target, o.options, s); failures > openRetries || !transient.IsShort(err) {
			break
		}
		if transient.Wait(ctx, transient.Pause(failures, openPause, time.Second)) != nil {
			break
		}
	}
	if err != nil {
		return out, fail(o.advise(err))
	}
	if _, flushes := sink.(pipeline.Flusher); flushes != (o.Kind.Flush != nil) {
		err := fmt.Errorf("kind %s: Flush must be set if, and only if, its sinks are flushed", o.Kind.Name)
		return out, fail(errors.Join(err, sink.Close(ctx)))
	}
	out = pipeline.Output[record.Classification]{
		Name: o.Target.Text, Sink: sink, Queue: o.Delivery.Queue, Merge: mergeRows,
	}
	if o.Delivery.Policy == PolicyBestEffort {
		out.Policy = pipeline.BestEffort
	}
	if o.Delivery.Attempts >= 0 {
		out.Retry = &pipeline.Retry{Attempts: o.Delivery.Attempts}
	}
	if o.Kind.Flush != nil {
		out.Flush = pipeline.Flush[record.Classification]{
			Rows: o.Flush.Rows, Bytes: int64(o.Flush.Bytes), Size: size, Every: o.Flush.Every,
		}
	}
	return out, nil
}

// mergeRows is the number of classifications above which no more waiting batches are written together. A sync of a
// file or a round trip takes as long for hundreds of them as for one.
const mergeRows = 512

// size estimates the memory that a classification takes, in bytes.
func size(c *record.Classification) int64 {
	n := 256 + len(c.EventID) + len(c.Stream) + len(c.Name) + 8*len(c.TopK)
	if c.Box != nil {
		n += 48
	}
	return int64(n)
}

// OpenAll opens the outputs. If any of them cannot be opened, it closes the others, and the error names all that
// cannot.
func OpenAll(ctx context.Context, outputs []*Output, s Services) ([]pipeline.Output[record.Classification], error) {
	var open []pipeline.Output[record.Classification]
	var errs []error
	for _, o := range outputs {
		out, err := o.Open(ctx, s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		open = append(open, out)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, Close(ctx, open))...)
	}
	return open, nil
}

// Close closes outputs that were not passed to a pipeline, in reverse order.
func Close(ctx context.Context, open []pipeline.Output[record.Classification]) error {
	var errs []error
	for _, o := range slices.Backward(open) {
		errs = append(errs, o.Sink.Close(context.WithoutCancel(ctx)))
	}
	return errors.Join(errs...)
}
