package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/pipeline/app"
)

func (c *cli) train() *cobra.Command {
	var o app.TrainOptions
	cmd := command("train [DATA...] --out MODEL", "Train a network on labelled data", cobra.ArbitraryArgs, kafkaFlags, voxelFlags, ingestFlags, map[string]string{
		"arch": "train.arch", "epochs": "train.epochs", "batch-size": "train.batch_size", "validation-split": "train.validation_split",
		"learning-rate": "train.learning_rate", "shuffle": "train.shuffle",
	})
	cmd.Long = cmd.Short + ".\n\nThe defaults are those of the 3D MNIST tutorial. A signal ends training after the step at hand; what was learnt so far is written."
	cmd.Example = "  voxelstream train mnist3d.h5 --out digits.keras --history digits.csv --plot digits.png"
	f := cmd.Flags()
	f.BoolVar(&o.FromTopic, "from-topic", false, "train on the labelled volumes of the topic")
	f.StringVar(&o.Split, "split", "", "part of an archive: train, test or all; without it train, or all where there are no parts")
	f.StringVar(&o.Init, "init", "", "start from this model")
	f.BoolVar(&o.Resume, "resume", false, "start from the weights of --out, where it exists")
	f.IntVar(&o.Classes, "classes", 0, "number of classes; 0 means the largest label and one")
	f.BoolVar(&o.KeepBest, "keep-best", false, "keep the weights of the epoch with the best validation accuracy")
	f.StringVar(&o.Out, "out", "", "model file to write: .keras, .h5 or .safetensors")
	f.StringVar(&o.History, "history", "", "CSV file of loss and accuracy by epoch")
	f.StringVar(&o.Plot, "plot", "", "PNG file of their curves")
	keyNot(f, "no-shuffle", "train.shuffle", "keep the order of the rows")
	cmd.RunE = c.do(func(ctx context.Context, a *app.App, args []string) error { return a.Train(ctx, args, o) })
	return cmd
}
