package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/internal/screen"
)

func (c *cli) dlq() *cobra.Command {
	cmd := command("dlq", "List, show and replay dead letters")
	cmd.Long = cmd.Short + ".\n\nWith the embedded broker, these commands work while another process uses it."
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Example = "  voxelstream dlq list --since 2h\n  voxelstream dlq replay --dry-run"
	cmd.AddCommand(c.dlqList(), c.dlqShow(), c.dlqReplay())
	return cmd
}

func (c *cli) dlqList() *cobra.Command {
	list := command("list", "List the dead letters with their reason and origin", kafkaFlags)
	list.Long = list.Short + ".\n\nFROM is the topic, partition and offset of the message, or the input. REPLAYS counts how often the message had been sent back before it failed this time. " +
		"SENT BACK is the time at\nwhich this dead letter was sent back."
	list.Example = "  voxelstream dlq list\n  voxelstream dlq list --brokers kafka-1:9092 --json\n" +
		"  voxelstream dlq list --stage classify --since 2h --reason 16x16x16"
	f := filterFlags(list)
	list.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error {
		filter, err := f.filter(time.Now())
		if err != nil {
			return err
		}
		return c.deadLetters(stream.DeadLetters(ctx, a, stream.LetterFilter{}), filter.Match)
	})
	return list
}

func (c *cli) dlqShow() *cobra.Command {
	one := command("show ID", "Show one dead letter with its headers", kafkaFlags)
	one.Example = "  voxelstream dlq show 0:17\n  voxelstream dlq show 0:17 --value volume.arrow"
	var path string
	flagsIn(one, groupOutput, func(f *pflag.FlagSet) {
		f.StringVar(&path, "value", "", "Write the unchanged value of the message to this file, even if it is an object "+
			"outside Kafka. - is standard output.")
	})
	forceFlag(one)
	one.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		d, err := stream.ShowDeadLetter(ctx, a, args[0])
		if err != nil || path == "" {
			return show(c, d, err, deadMessageText)
		}
		value, err := stream.ValueOf(ctx, a, d)
		if err != nil {
			return err
		}
		return c.writeValue(a, value, path)
	})
	return one
}

// writeValue writes the value of a dead letter to a file.
func (c *cli) writeValue(a *app.Env, value []byte, path string) (err error) {
	if path == "-" {
		_, err := c.out.Write(value)
		return err
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_EXCL
	if a.Force {
		flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists; --force overwrites it", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	return errors.Join(err, f.Close())
}

func (c *cli) dlqReplay() *cobra.Command {
	replay := command("replay [ID...]", "Send dead letters back to their topic", kafkaFlags)
	replay.Long = replay.Short + ": the given ones, or all that the filters select.\n\n" +
		"Dead letters that were sent back before are not sent again without --again. Messages keep their event IDs, " +
		"so a volume that was classified in the meantime is recognized as a duplicate.\n\n" +
		"Inputs that could not be read or voxelized cannot be replayed, because they never became messages. Run or ingest them again instead.\n\n" +
		"Messages go back only to the topics in kafka.volumes and kafka.replay_topics. Those that cannot be sent are " +
		"listed and stay where they are."
	replay.Example = "  voxelstream dlq replay --dry-run\n  voxelstream dlq replay --stage classify --since 2h --rate 100\n" +
		"  voxelstream dlq replay 0:17 0:18 --again"
	f := filterFlags(replay)
	o := stream.ReplayOptions{}
	fs := replay.Flags()
	fs.BoolVar(&o.Again, "again", false, "Also send those that were sent back before.")
	fs.BoolVarP(&o.DryRun, "dry-run", "n", false, "List what would be sent, and send nothing.")
	fs.Float64Var(&o.Rate, "rate", 0, "Maximum number of messages per second. 0 sets no limit.")
	fs.IntVar(&o.MaxReplays, "max-replays", stream.DefaultMaxReplays,
		"Maximum number of times that a message is sent back. 0 sets no limit.")
	replay.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		var err error
		if o.Filter, err = f.filter(time.Now()); err != nil {
			return err
		}
		o.Filter.IDs = args
		if o.Rate < 0 || o.MaxReplays < 0 {
			return app.Usage(errors.New("--rate, --max-replays: want 0 or more"))
		}
		if o.DryRun && !c.json {
			o.Each = func(d stream.DeadLetter) { c.dryRun(&d) }
		}
		r, err := stream.Replay(ctx, a, o)
		return summarize(c, r, err, replayedText)
	})
	return replay
}

// dryRun prints a dead letter that would be sent.
func (c *cli) dryRun(d *stream.DeadLetter) {
	fmt.Fprint(c.out, screen.Visible(fmt.Sprintf("%s to %s: %s: %s\n", d.ID, screen.OneLine(d.Topic),
		screen.OneLine(d.Stage), screen.OneLine(d.Error))))
}

func replayedText(w io.Writer, r *stream.Replayed) {
	verb := "replayed"
	if r.DryRun {
		verb = "would replay"
	}
	fmt.Fprintf(w, "%s %s", verb, app.Count(r.Replayed, "dead letter"))
	switch {
	case r.NeverMessages == 1:
		fmt.Fprint(w, "; 1 matches but was never a message: ingest its input again")
	case r.NeverMessages > 1:
		fmt.Fprintf(w, "; %d match but were never messages: ingest their inputs again", r.NeverMessages)
	}
	fmt.Fprintln(w)
	if r.Before > 0 {
		fmt.Fprintf(w, "%s sent back before, not again\n", app.Count(r.Before, "dead letter"))
	}
	if r.Left > 0 {
		fmt.Fprintf(w, "left %s\n", app.Count(r.Left, "dead letter"))
	}
}

// letterFlags are the flags that select dead letters.
type letterFlags struct {
	stream.LetterFilter
	since, until string
}

func filterFlags(cmd *cobra.Command) *letterFlags {
	f := &letterFlags{}
	flagsIn(cmd, "Selection", func(fs *pflag.FlagSet) { f.declare(fs, cmd.Name() == "list") })
	return f
}

// declare declares the flags. Those of a command that lists dead letters can select the ones that were not sent back.
func (f *letterFlags) declare(fs *pflag.FlagSet, lists bool) {
	fs.StringVar(&f.Topic, "topic", "", "Only messages that were read from this topic.")
	fs.StringVar(&f.Stage, "stage", "", "Only those that failed in this stage, such as ingest, decode or classify.")
	fs.StringVar(&f.Reason, "reason", "", "Only those whose reason contains this text, or matches a regular "+
		"expression given as /REGEXP/.")
	fs.StringVar(&f.Stream, "stream", "", "Only those of this stream. * matches any text.")
	fs.StringVar(&f.At, "at", "", "Only messages that were read from this partition, or from these offsets in it: "+
		"PARTITION or PARTITION:FIRST-LAST.")
	fs.StringVar(&f.since, "since", "", "Only those that failed after this time, such as 2026-01-31T12:00:00Z, or within "+
		"this duration, such as 2h.")
	fs.StringVar(&f.until, "until", "", "Only those that failed before this time, or longer ago than this duration.")
	if lists {
		fs.BoolVar(&f.Pending, "pending", false, "Only those that can be sent back and have not been.")
	}
}

// filter returns the filter. Durations count back from now.
func (f *letterFlags) filter(now time.Time) (stream.LetterFilter, error) {
	out := f.LetterFilter
	var err error
	if out.Since, err = timeBefore(f.since, now); err != nil {
		return out, app.Usage(fmt.Errorf("--since: %w", err))
	}
	if out.Until, err = timeBefore(f.until, now); err != nil {
		return out, app.Usage(fmt.Errorf("--until: %w", err))
	}
	if err := out.Prepare(); err != nil {
		return out, app.Usage(fmt.Errorf("--%w", err))
	}
	return out, nil
}

// timeBefore parses a time, a date, or a duration before now. An empty text is the zero time.
func timeBefore(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("found %q, want a time such as 2026-01-31T12:00:00Z or a duration such as 2h", text)
}

// deadLetters prints those dead letters that match, as a table or, with --json, as one JSON line each.
func (c *cli) deadLetters(all iter.Seq2[stream.DeadLetter, error], match func(*stream.DeadLetter) bool) error {
	w := tabwriter.NewWriter(c.out, 2, 8, 2, ' ', 0)
	n, others := 0, 0
	for d, err := range all {
		if err != nil {
			return errors.Join(w.Flush(), err)
		}
		if !match(&d) {
			others++
			continue
		}
		if n++; c.json {
			if err := c.line(d); err != nil {
				return err
			}
			continue
		}
		if n == 1 {
			fmt.Fprintln(w, "ID\tTIME\tSTAGE\tREPLAYS\tSENT BACK\tFROM\tEVENT\tREASON")
		}
		d = screen.Printable(d)
		from := cmp.Or(d.Input, "-")
		if d.Topic != "" {
			from = d.Topic + "/" + d.At
		}
		back := "-"
		if d.Replayed != nil {
			back = d.Replayed.Format(time.RFC3339)
		}
		if d.Gone {
			d.Error += " (message gone)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", d.ID, d.Time.Format(time.RFC3339), d.Stage, d.Replays, back,
			from, d.EventID, d.Error)
	}
	switch {
	case n > 0 || c.json:
	case others > 0:
		fmt.Fprintf(w, "no dead letters match; %d without the filters\n", others)
	default:
		fmt.Fprintln(w, "no dead letters")
	}
	return w.Flush()
}

func deadMessageText(w io.Writer, d *stream.DeadMessage) {
	fmt.Fprintf(w, "id        %s\nevent     %s\nkey       %s\nfrom      %s\nstage     %s\nattempts  %d\n"+
		"time      %s\nreason    %s\n",
		d.ID, d.EventID, d.Key, strings.TrimSpace(d.Topic+" "+d.At+d.Input), d.Stage, d.Attempts,
		d.Time.Format(time.RFC3339Nano), d.Error)
	if d.Replays > 0 {
		fmt.Fprintf(w, "replays   %d\n", d.Replays)
	}
	if d.Replayed != nil {
		fmt.Fprintf(w, "sent back %s\n", d.Replayed.Format(time.RFC3339Nano))
	}
	for _, h := range d.Ordered {
		fmt.Fprintf(w, "header    %s: %.200q\n", h.Key, h.Value)
	}
	if d.SHA256 != "" {
		fmt.Fprintf(w, "value     %d bytes were left out, SHA-256 %s\n", d.Bytes, d.SHA256)
		return
	}
	if d.Gone {
		fmt.Fprintln(w, "value     unknown: the message was gone from its topic before it could be copied")
		return
	}
	if d.Reference != nil {
		fmt.Fprintf(w, "value     object %s of %d bytes, outside Kafka\n", d.Reference.Object(), d.Reference.Size)
		return
	}
	fmt.Fprintf(w, "value     %d bytes: %.200q\n", len(d.Value), d.Value)
}
