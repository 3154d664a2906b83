// Package stream moves samples and classifications through Kafka. It sends inputs to the volumes topic, classifies the
// volumes on it, lists and replays dead letters, and runs the embedded broker and simulated sensors.
package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
)

// Run runs the whole pipeline in one process: inputs -> volumes -> Kafka -> network -> sinks. It ends when every input
// has ended and everything on the volumes topic is settled, including what an earlier run left there; forever, it
// watches the folders among them until it is interrupted. Once it has started, it returns a result, with an error too
// if something fails for good, there are dead letters, no input could be read, or the run is interrupted.
func Run(ctx context.Context, a *app.Env, args []string) (*Summary, error) {
	inputs, err := parseInputs(a, args)
	if err == nil && a.Forever {
		inputs, err = input.Watched(inputs)
	}
	if err != nil {
		return nil, err
	}
	open, release := openAhead(ctx, inputs, openerOf(a))
	defer release()
	files := &input.Files{}
	c, err := newClassifying(ctx, a, files)
	if err != nil {
		return nil, err
	}
	cl := c.cluster
	start := time.Now()
	// soft ends when everything is settled, or with ctx.
	soft, stop := context.WithCancel(ctx)
	defer stop()
	var sent IngestSummary
	var ingestErr error
	ingested := make(chan struct{})
	go func() {
		defer close(ingested)
		defer stop()
		sent, ingestErr = send(soft, a, cl, sending{
			options: c.voxelize, backlog: backlogOf(a, cl, false), inputs: inputs, files: files, open: open,
		})
		if ingestErr == nil {
			ingestErr = cl.whenSettled(soft, a, c.Flush)
		}
		if soft.Err() != nil && errors.Is(ingestErr, soft.Err()) {
			ingestErr = nil // classification ended first, or a signal arrived; both are reported elsewhere
		}
	}()
	classifyErr := c.Run(soft)
	stop()
	<-ingested
	s := c.summary(ctx, start)
	s.Inputs, s.Volumes, s.Files = len(inputs), sent.Volumes, files.List()
	s.DeadLetters += sent.DeadLetters
	s.Failed += sent.Failed
	stayed := a.Stay && a.HTTP != nil && ingestErr == nil && classifyErr == nil && ctx.Err() == nil
	if stayed {
		a.Live.End()
		a.Line("Everything is classified. The page stays on " + a.HTTP.URL() + " until you press Ctrl-C.")
		<-ctx.Done()
	}
	if err := errors.Join(ingestErr, classifyErr, c.close(ctx)); err != nil {
		return s, err
	}
	if !input.Endless(inputs) && !stayed {
		err = app.Interrupted(ctx, nil)
	}
	if err == nil && ctx.Err() == nil && cl.broker != nil && s.DeadLetters == 0 &&
		int64(s.Classified+c.tally.Repeats()) < s.Volumes {
		// The broker is ours, so no other process can have taken them. Duplicates come from inputs that were named
		// twice.
		err = fmt.Errorf("%d volumes were sent, but only %d were classified, and there are no dead letters", s.Volumes,
			s.Classified)
	}
	return s, errors.Join(err, deadLettered(s.DeadLetters, input.Endless(inputs), ctx.Err() != nil))
}
