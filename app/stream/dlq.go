package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// DeadLetter is one line of dlq list and the head of dlq show.
type DeadLetter struct {
	// ID is partition:offset on the dead letter topic.
	ID       string    `json:"id"`
	EventID  string    `json:"event_id"`
	Topic    string    `json:"topic,omitempty"` // where it was read; absent for an item that never became a message
	At       string    `json:"at,omitempty"`    // partition:offset there
	Input    string    `json:"input,omitempty"`
	Stage    string    `json:"stage"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Time     time.Time `json:"time"`
	Bytes    int       `json:"bytes"`
}

// Replayable says whether there is a message to send back.
func (d *DeadLetter) Replayable() bool { return d.Topic != "" }

func parseDeadLetter(m transport.Message) (DeadLetter, error) {
	t, err := transport.ReadDeadLetter(m)
	if err != nil {
		return DeadLetter{}, err
	}
	d := DeadLetter{
		ID: fmt.Sprintf("%d:%d", m.Partition, m.Offset), EventID: m.EventID(), Topic: t.Topic, Stage: t.Stage, Error: t.Error,
		Attempts: t.Attempts, Time: t.Time, Bytes: len(m.Value),
	}
	if t.Topic != "" {
		d.At = fmt.Sprintf("%d:%d", t.Partition, t.Offset)
		return d, nil
	}
	var l deadLetter
	if err := json.Unmarshal(m.Value, &l); err != nil {
		return d, err
	}
	d.Input = l.Input
	return d, nil
}

// DLQList lists the dead letters: why, and where from.
func DLQList(ctx context.Context, a *app.Env) error {
	return withCluster(ctx, a, func(cl *cluster) error {
		w := tabwriter.NewWriter(a.Out, 2, 8, 2, ' ', 0)
		n := 0
		for m, err := range cl.client.Records(ctx, a.Config.Kafka.DeadLetters, false) {
			if err != nil {
				return err
			}
			d, err := parseDeadLetter(m)
			if err != nil {
				a.Log.Warn("no dead letter", "offset", m.Offset, "error", err)
				continue
			}
			if a.JSON {
				if err := a.Line(d); err != nil {
					return err
				}
				continue
			}
			if n++; n == 1 {
				fmt.Fprintln(w, "ID\tTIME\tSTAGE\tEVENT\tREASON")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.ID, d.Time.Format(time.RFC3339), d.Stage, d.EventID, d.Error)
		}
		if n == 0 && !a.JSON {
			fmt.Fprintln(w, "no dead letters")
		}
		return w.Flush()
	})
}

// DLQShow shows one dead letter with its headers and the beginning of its value.
func DLQShow(ctx context.Context, a *app.Env, id string) error {
	return withCluster(ctx, a, func(cl *cluster) error {
		for m, err := range cl.client.Records(ctx, a.Config.Kafka.DeadLetters, false) {
			if err != nil {
				return err
			}
			d, err := parseDeadLetter(m)
			if err != nil || d.ID != id {
				continue
			}
			full := struct {
				DeadLetter
				Key     string            `json:"key"`
				Headers map[string]string `json:"headers"`
				Value   []byte            `json:"value"`
			}{d, string(m.Key), map[string]string{}, m.Value}
			for _, h := range m.Headers {
				full.Headers[h.Key] = string(h.Value)
			}
			return a.Print(full, func(w io.Writer) {
				fmt.Fprintf(w, "id        %s\nevent     %s\nkey       %s\nfrom      %s %s%s\nstage     %s\nattempts  %d\ntime      %s\nreason    %s\n",
					d.ID, d.EventID, full.Key, d.Topic, d.At, d.Input, d.Stage, d.Attempts, d.Time.Format(time.RFC3339Nano), d.Error)
				for _, h := range m.Headers {
					fmt.Fprintf(w, "header    %s: %.200q\n", h.Key, h.Value)
				}
				fmt.Fprintf(w, "value     %d bytes: %.200q\n", len(m.Value), m.Value)
			})
		}
		return fmt.Errorf("dead letter %s: not found; dlq list names them", id)
	})
}

// DLQReplay sends dead letters back to their topic: those not replayed before or, with ids, just these.
func DLQReplay(ctx context.Context, a *app.Env, ids []string) error {
	return withCluster(ctx, a, func(cl *cluster) error {
		var match func(transport.Message, transport.DeadLetter) bool
		if len(ids) > 0 {
			wanted := map[string]bool{}
			for _, id := range ids {
				wanted[id] = true
			}
			match = func(m transport.Message, _ transport.DeadLetter) bool {
				return wanted[fmt.Sprintf("%d:%d", m.Partition, m.Offset)]
			}
		}
		n, err := cl.client.Replay(ctx, cl.producer, a.Config.Kafka.DeadLetters, a.Config.Kafka.Group+"-replay", match)
		if err != nil {
			return err
		}
		return a.Print(struct {
			Replayed int `json:"replayed"`
		}{n}, func(w io.Writer) { fmt.Fprintf(w, "replayed %d\n", n) })
	})
}

// WithClient runs f with a connection to Kafka.
func WithClient(ctx context.Context, a *app.Env, f func(*kafka.Client) error) error {
	return withCluster(ctx, a, func(cl *cluster) error { return f(cl.client) })
}

// withCluster runs f with a connection to Kafka.
func withCluster(ctx context.Context, a *app.Env, f func(*cluster) error) error {
	cl, err := connect(ctx, a)
	if err != nil {
		return err
	}
	return errors.Join(f(cl), cl.close(context.WithoutCancel(ctx)))
}

// Broker runs the embedded broker alone until ctx ends.
func Broker(ctx context.Context, a *app.Env) error {
	b, err := startBroker(a)
	if err != nil {
		return err
	}
	err = a.Print(struct {
		Address string `json:"address"`
		DataDir string `json:"data_dir"`
	}{b.Addr(), a.Config.Broker.DataDir}, func(w io.Writer) {
		fmt.Fprintf(w, "broker at %s, data in %s\n", b.Addr(), a.Config.Broker.DataDir)
	})
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, b.Close())
}
