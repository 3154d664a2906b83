package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) run() *cobra.Command {
	cmd := command("run INPUT...", "The whole pipeline in one process: inputs -> volumes -> Kafka -> network -> classifications",
		cobra.MinimumNArgs(1), kafkaFlags, voxelFlags, ingestFlags, sinkFlags, modelFlag)
	cmd.Long = cmd.Short + `.

Without --brokers a broker inside the process keeps its log in --broker-data-dir. The command ends when every input has ended and every volume
is classified or a dead letter; exit code 3 says that there are dead letters. A volume is stored once per model, also after a crash and a second
run: the JSON lines file and the topic drop what they hold already.

An input is a file or a folder; - for standard input; watch://FOLDER for the files that come into a folder (?settle=TIME, state=FILE), each of them
once, also after a restart; http://HOST:PORT?token-file=FILE to take files by POST /v1/ingest/NAME with that bearer token (max=BYTES, queue=REQUESTS),
answered when they are stored; kafka://TOPIC for a topic of the cluster each message of which is a file (?group=NAME), whose offset is committed when
its volumes are stored; or the address of a lidar: udp://HOST:PORT?sensor=NAME, with calibration=FILE where the sensor needs it, duration=TIME
to end, and buffer=BYTES for the kernel's receive buffer. All addresses are heard at once; each turn of a sensor is one sample.`
	cmd.Example = "  voxelstream run digits.h5\n  voxelstream run scan.pcd --model shapes.keras --out shapes.jsonl\n" +
		"  voxelstream run 'udp://:2368?sensor=vlp16' 'udp://:7502?sensor=ouster&calibration=os1.json'\n" +
		"  voxelstream run watch:///srv/scans 'http://:8080?token-file=token'"
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error { return stream.Run(ctx, a, args) })
	return cmd
}
