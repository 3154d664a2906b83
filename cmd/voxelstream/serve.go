package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/serving"
)

// serveAddress is the address of the server unless http.listen sets one.
const serveAddress = "127.0.0.1:8080"

func (c *cli) serve() *cobra.Command {
	cmd := command("serve", "Serve models over the Open Inference Protocol", config.Flags("serve", "http"),
		config.Flags("model.input_shape", "model.exact", "model.classes", "model.top_k", "voxelize.values",
			"voxelize.colormap"))
	cmd.Long = cmd.Short + ` (version 2, REST and gRPC), with a web page, metrics and
health checks.

Each model is read completely, verified and warmed up before it answers requests. Files and folders are watched: a new
version takes the place of the current one without a failed request. Without --http, the address is
` + serveAddress + `. Without --model and --repository, the built-in model is served.

The command runs until interrupted. The first interrupt finishes the requests in progress.`
	cmd.Example = "  voxelstream serve --model shapes.keras\n" +
		"  voxelstream serve --repository /srv/models --http 0.0.0.0:8000"
	run := served(func(ctx context.Context, a *app.Env, _ []string) error { return serving.Serve(ctx, a) })
	cmd.RunE = c.drain(collecting(gcStreaming, func(ctx context.Context, a *app.Env, args []string) error {
		if a.Config.HTTP.Listen == "" {
			loaded := *a.Config
			loaded.HTTP.Listen = serveAddress
			a.Config = &loaded
		}
		return run(ctx, a, args)
	}))
	return cmd
}
