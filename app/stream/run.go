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
// has ended and everything on the volumes topic is settled, including what an earlier run left there. If there are dead
// letters or the run is interrupted, it returns a result and an error.
func Run(ctx context.Context, a *app.Env, args []string) (*Summary, error) {
	inputs, err := parseInputs(a, args)
	if err != nil {
		return nil, err
	}
	open, release := openAhead(ctx, inputs, openerOf(a))
	defer release()
	c, err := newClassifying(ctx, a, true)
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
		if sent, ingestErr = send(soft, a, cl, c.voxelize, backlogOf(a, cl, false), inputs, open, nil); ingestErr == nil {
			ingestErr = cl.whenSettled(soft, a.Config.Kafka.Group, a.Config.Kafka.Volumes, c.Flush)
		}
		if soft.Err() != nil && errors.Is(ingestErr, soft.Err()) {
			ingestErr = nil // classification ended first, or a signal arrived; both are reported elsewhere
		}
	}()
	classifyErr := c.Run(soft)
	stop()
	<-ingested
	s := c.summary(start)
	s.Inputs, s.Volumes = len(inputs), sent.Volumes
	s.DeadLetters += sent.DeadLetters
	if err := errors.Join(ingestErr, classifyErr, c.close(ctx)); err != nil {
		return nil, err
	}
	if !input.Endless(inputs) {
		err = app.Interrupted(ctx, nil)
	}
	if err == nil && ctx.Err() == nil && cl.broker != nil && s.DeadLetters == 0 &&
		int64(s.Classified+c.tally.Repeats()) < s.Volumes {
		// The broker is ours, so no other process can have taken them. Duplicates come from inputs that were named
		// twice.
		err = fmt.Errorf("%d volumes were sent, but only %d were classified, and there are no dead letters", s.Volumes,
			s.Classified)
	}
	return s, errors.Join(err, s.failure())
}
