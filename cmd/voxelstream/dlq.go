package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/internal/screen"
)

func (c *cli) dlq() *cobra.Command {
	cmd := command("dlq", "List, show and replay dead letters")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	list := command("list", "List the dead letters with their reason and origin", kafkaFlags)
	list.Example = "  voxelstream dlq list\n  voxelstream dlq list --brokers kafka-1:9092 --json"
	list.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error {
		return c.deadLetters(stream.DeadLetters(ctx, a))
	})

	one := command("show ID", "Show one dead letter with its headers", kafkaFlags)
	one.Example = "  voxelstream dlq show 0:17"
	one.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		d, err := stream.ShowDeadLetter(ctx, a, args[0])
		return show(c, d, err, deadMessageText)
	})

	replay := command("replay [ID...]", "Send dead letters back to their topic: the given ones, or all that were not "+
		"replayed before", kafkaFlags)
	replay.Long = replay.Short + ".\n\nInputs that could not be read or voxelized cannot be replayed, because " +
		"they never became messages.\nRun or ingest them again instead.\n\n" +
		"Messages go back only to the topics in kafka.volumes and kafka.replay_topics. Those that cannot be sent are " +
		"listed and stay where they are."
	replay.Example = "  voxelstream dlq replay\n  voxelstream dlq replay 0:17 0:18"
	replay.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := stream.Replay(ctx, a, args)
		return show(c, r, err, func(w io.Writer, r *stream.Replayed) {
			fmt.Fprintf(w, "replayed %s\n", app.Count(r.Replayed, "dead letter"))
			if r.Left > 0 {
				fmt.Fprintf(w, "left %s\n", app.Count(r.Left, "dead letter"))
			}
		})
	})
	cmd.AddCommand(list, one, replay)
	return cmd
}

// deadLetters prints dead letters as a table or, with --json, as one JSON line each.
func (c *cli) deadLetters(all iter.Seq2[stream.DeadLetter, error]) error {
	w := tabwriter.NewWriter(c.out, 2, 8, 2, ' ', 0)
	n := 0
	for d, err := range all {
		if err != nil {
			return errors.Join(w.Flush(), err)
		}
		if n++; c.json {
			if err := c.line(d); err != nil {
				return err
			}
			continue
		}
		if n == 1 {
			fmt.Fprintln(w, "ID\tTIME\tSTAGE\tEVENT\tREASON")
		}
		d = screen.Printable(d)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.ID, d.Time.Format(time.RFC3339), d.Stage, d.EventID, d.Error)
	}
	if n == 0 && !c.json {
		fmt.Fprintln(w, "no dead letters")
	}
	return w.Flush()
}

func deadMessageText(w io.Writer, d *stream.DeadMessage) {
	fmt.Fprintf(w, "id        %s\nevent     %s\nkey       %s\nfrom      %s %s%s\nstage     %s\nattempts  %d\n"+
		"time      %s\nreason    %s\n",
		d.ID, d.EventID, d.Key, d.Topic, d.At, d.Input, d.Stage, d.Attempts, d.Time.Format(time.RFC3339Nano), d.Error)
	for _, h := range d.Ordered {
		fmt.Fprintf(w, "header    %s: %.200q\n", h.Key, h.Value)
	}
	if d.SHA256 != "" {
		fmt.Fprintf(w, "value     %d bytes were left out, SHA-256 %s\n", d.Bytes, d.SHA256)
		return
	}
	fmt.Fprintf(w, "value     %d bytes: %.200q\n", len(d.Value), d.Value)
}
