package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) simulate() *cobra.Command {
	o := stream.SimulateOptions{}
	cmd := command("simulate [RECORDING] --to udp://HOST:PORT", "Send packets of a lidar over UDP")
	cmd.Long = cmd.Short + `.

The packets are those of a recording, or of a lidar in a synthetic scene, and are sent at the pace of the sensor.`
	cmd.Example = "  voxelstream ingest simulate drive.pcap --to udp://127.0.0.1:2368\n" +
		"  voxelstream ingest simulate --scene street --to 'udp://127.0.0.1:2368?sensor=vlp16' --length 60s\n" +
		"  voxelstream ingest simulate --list"
	fs := cmd.Flags()
	choiceVar(fs, &o.Scene, "scene", "", "Simulate a synthetic scene instead of a recording. --list names the scenes; "+
		"--seed varies them.", files.Scenes())
	list := fs.Bool("list", false, "List the scenes.")
	fs.StringVar(&o.To, "to", "", "Destination udp://HOST:PORT. For a scene, add ?sensor=vlp16 or ?sensor=ouster.")
	fs.Float64Var(&o.Rate, "rate", 1, "Speed relative to the sensor.")
	fs.BoolVar(&o.Loop, "loop", false, "Repeat the recording.")
	fs.DurationVar(&o.Length, "length", 0, "Stop after this duration in the sensor's time. 0 plays the whole "+
		"recording, or a scene without end.")
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &o.Metadata, "metadata", "Write the metadata of the simulated Ouster to this JSON file, for the "+
			"receiver's calibration option.", ".json")
	})
	fs.BoolVar(&o.Legacy, "legacy", false, "Simulate an Ouster with firmware older than 2.2.")
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		if *list {
			scenes := stream.SimulatedScenes()
			return show(c, &scenes, nil, scenesText)
		}
		if len(args) > 0 {
			o.Recording = args[0]
		}
		s, err := stream.Simulate(ctx, a, o)
		return summarize(c, s, err, simulateText)
	})
	return cmd
}

func scenesText(w io.Writer, scenes *[]stream.SceneInfo) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range *scenes {
		fmt.Fprintf(table, "%s\t%s\n", s.Name, s.Doc)
	}
	table.Flush()
}

func simulateText(w io.Writer, s *stream.SimulateSummary) {
	fmt.Fprintf(w, "%s: %s, %d bytes in %.1f s, maximum delay %v\n", s.To, app.Count(s.Packets, "packet"), s.Bytes,
		s.Seconds, s.Late.Round(time.Microsecond))
}
