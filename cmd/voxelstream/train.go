package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/learn"
)

func (c *cli) train() *cobra.Command {
	var o learn.TrainOptions
	cmd := command("train [DATA...] --out MODEL", "Train a network on labelled data", cobra.ArbitraryArgs, kafkaFlags, httpFlag, voxelFlags, ingestFlags, config.Flags("train"))
	cmd.Long = cmd.Short + ".\n\nThe defaults are those of the 3D MNIST tutorial. A signal ends training after the current step, and the weights so far are written. " +
		"After each epoch the state of training is stored beside the model: --resume goes on from there, after a signal or a crash, and ends with the same model, bit for bit."
	cmd.Example = "  voxelstream train mnist3d.h5 --out digits.keras --history digits.csv --plot digits.png"
	f := cmd.Flags()
	f.BoolVar(&o.FromTopic, "from-topic", false, "train on the labelled volumes that the topic holds")
	f.BoolVar(&o.Follow, "follow", false, "with --from-topic: train on each volume once, as it comes; an epoch is --steps-per-epoch steps")
	f.StringVar(&o.Split, "split", "", "part of an archive: train, test or all; without it train, or all where there are no parts. pairs: so, too, and the validation split keeps even and odd rows together")
	f.StringVar(&o.Init, "init", "", "start from this model")
	f.BoolVar(&o.Resume, "resume", false, "go on from the checkpoint, where there is one")
	f.IntVar(&o.Classes, "classes", 0, "number of classes; 0 means the largest label and one")
	f.BoolVar(&o.KeepBest, "keep-best", false, "keep the weights of the best epoch, by validation accuracy unless --monitor says")
	f.StringVar(&o.Out, "out", "", "model file to write: .keras, .h5, .onnx or .safetensors")
	f.StringVar(&o.Checkpoint, "checkpoint", "", "file of the state of training (default: that of --out with .checkpoint behind)")
	f.StringVar(&o.Best, "best", "", "model file of the best epoch so far, as --keep-best finds it")
	f.StringVar(&o.TensorBoard, "tensorboard", "", "folder of event files for TensorBoard")
	f.StringVar(&o.History, "history", "", "CSV file of loss and accuracy by epoch")
	f.StringVar(&o.Plot, "plot", "", "PNG file of their curves")
	keyNot(f, "no-shuffle", "train.shuffle", "keep the order of the rows")
	cmd.RunE = c.do(frugal(served(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := learn.Train(ctx, a, args, o)
		return show(c, r, err, trainText)
	})))
	return cmd
}

func trainText(w io.Writer, r *learn.TrainResult) {
	h, last := r.History, len(r.History.Loss)-1
	fmt.Fprintf(w, "%s: %s, %s over %s, %.0f samples/s\n",
		r.Model, app.Count(r.Parameters, "parameter"), app.Count(r.Epochs, "epoch"), app.Count(r.Rows, "row"), r.SamplesPerSecond)
	fmt.Fprintf(w, "loss %.4f, accuracy %.4f", h.Loss[last], h.Accuracy[last])
	if len(h.ValLoss) > last {
		fmt.Fprintf(w, ", val_loss %.4f, val_accuracy %.4f", h.ValLoss[last], h.ValAccuracy[last])
	}
	if h.BestEpoch > 0 {
		fmt.Fprintf(w, ", best epoch %d", h.BestEpoch)
	}
	if h.Stopped {
		fmt.Fprint(w, ", stopped early")
	}
	fmt.Fprintln(w)
}
