package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live/udp"
	"github.com/voxelstream/voxelstream/ingest/packets"
	"github.com/voxelstream/voxelstream/ingest/simulate"
)

// SimulateOptions are the options of a simulated sensor.
type SimulateOptions struct {
	// Recording is the path of a packet recording, and Scene the name of a scene. Exactly one of them must be set.
	Recording, Scene string
	// To is the destination, an input of run and ingest: udp://HOST:PORT?sensor=NAME. A recording needs no sensor.
	To string
	// Rate is the speed relative to the sensor.
	Rate float64
	Loop bool
	// Length is the duration of the simulation in the sensor's time. 0 means the whole recording, or forever for a
	// scene.
	Length time.Duration
	// Metadata, if set, is the file for the metadata of a simulated Ouster, which its receiver needs.
	Metadata string
	// Legacy makes a simulated Ouster send the packets of firmware older than 2.2.
	Legacy bool
}

// SimulateSummary is the result of ingest simulate.
type SimulateSummary struct {
	To string `json:"to"`
	simulate.Stats
	Seconds float64 `json:"seconds"`
}

// SceneInfo is a scene that can be simulated.
type SceneInfo struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

// SimulatedScenes lists the scenes that can be simulated.
func SimulatedScenes() (out []SceneInfo) {
	for _, s := range simulate.Scenes {
		out = append(out, SceneInfo{s.Name, s.Doc})
	}
	return out
}

// rawGap is the interval between the packets of a recording without times, as sent by a VLP-16.
const rawGap = 1327104 * time.Nanosecond

// Simulate sends the packets of a simulated lidar.
func Simulate(ctx context.Context, a *app.Env, o SimulateOptions) (_ *SimulateSummary, err error) {
	if (o.Recording == "") == (o.Scene == "") {
		return nil, app.Usage(errors.New("want either a RECORDING or --scene"))
	}
	address, ps, err := simulated(ctx, a, o)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	begin := time.Now()
	sent, err := simulate.Play(ctx, indifferent{conn}, simulate.Take(ps, o.Length), o.Rate)
	if err != nil {
		return nil, err
	}
	return &SimulateSummary{To: address, Stats: sent, Seconds: time.Since(begin).Seconds()}, nil
}

// indifferent is a socket whose writes succeed even if nobody listens, as for a real sensor.
type indifferent struct{ io.Writer }

func (w indifferent) Write(b []byte) (int, error) {
	_, err := w.Writer.Write(b)
	if unheard(err) {
		err = nil
	}
	return len(b), err
}

// simulated returns the packets to send and their destination.
func simulated(ctx context.Context, a *app.Env, o SimulateOptions) (
	address string, ps iter.Seq2[simulate.Packet, error], err error,
) {
	if o.To == "" {
		return "", nil, app.Usage(errors.New("missing --to udp://HOST:PORT, the destination"))
	}
	to, err := udp.Parse(o.To)
	switch {
	case !strings.HasPrefix(o.To, "udp://") || err == nil && to.Address == "":
		return "", nil, app.Usage(fmt.Errorf("--to: found %q, want udp://HOST:PORT", o.To))
	case err != nil:
		return "", nil, app.Usage(fmt.Errorf("--to: %s: %w", o.To, err))
	}
	if o.Recording != "" {
		records, err := packets.Records(ctx, o.Recording, a.Config.Ingest)
		if err != nil {
			return "", nil, err
		}
		return to.Address, simulate.Recorded(records, o.Loop, rawGap), nil
	}
	scene, err := simulate.NamedScene(o.Scene, a.Config.Seed)
	if err != nil {
		return "", nil, app.Usage(err)
	}
	switch to.Sensor.Model {
	case "velodyne", "vlp16", "puck":
		return to.Address, simulate.VLP16(scene, time.Now()), nil
	case "ouster", "os1":
		sensor := simulate.Ouster{Legacy: o.Legacy}
		if o.Metadata != "" {
			data, err := sensor.Metadata()
			if err != nil {
				return "", nil, err
			}
			release, err := a.ClaimOutputs(nil, o.Metadata)
			if err != nil {
				return "", nil, err
			}
			defer release()
			if err := ingest.WriteFile(o.Metadata, func(w io.Writer) error {
				_, err := w.Write(data)
				return err
			}); err != nil {
				return "", nil, err
			}
		}
		return to.Address, sensor.Packets(scene, time.Now()), nil
	}
	return "", nil, app.Usage(fmt.Errorf("--to: cannot simulate sensor %q, want velodyne, vlp16, puck, ouster or os1",
		to.Sensor.Model))
}
