package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/learn"
	"github.com/voxelstream/voxelstream/app/models"
)

func (c *cli) train() *cobra.Command {
	var o learn.TrainOptions
	var classes string
	cmd := command("train [DATA...] --out MODEL", "Train a network on labelled data",
		kafkaFlags, httpFlag, voxelFlags, ingestFlags, openFlags, config.Flags("train"))
	cmd.Long = cmd.Short + `.

The defaults are those of the 3D MNIST tutorial. An interrupt stops training after the current step and writes the
weights so far. After each epoch, a checkpoint is stored next to the model. --resume continues from it after an
interrupt or a crash, and produces the same model, bit for bit.`
	cmd.Example = "  voxelstream train mnist3d.h5 --out digits.keras --history digits.csv --plot digits.png\n" +
		"  voxelstream train mnist3d.h5 --out digits.keras --resume\n" +
		"  voxelstream train --from-topic --brokers kafka-1:9092 --out digits.keras"
	flagsIn(cmd, groupInput, func(f *pflag.FlagSet) { trainInputs(f, &o) })
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) { trainOutputs(f, &o) })
	flagsIn(cmd, "Network", func(f *pflag.FlagSet) {
		f.StringVar(&o.Init, "init", "", "Model to start from. If a JSON file holds only the architecture, training starts "+
			"from its initializers.")
		f.StringVar(&classes, "classes", "", "Number of classes, or their names in the order of the labels: a file with one "+
			"name per line or a JSON list, or names separated by commas. (default: the names in the data, or the largest "+
			"label plus one)")
	})
	f := cmd.Flags()
	keyNot(f, "no-shuffle", "train.shuffle", "Train on the rows in their given order.")
	forceFlag(cmd)
	cmd.RunE = c.drain(collecting(gcKeeping, served(func(ctx context.Context, a *app.Env, args []string) error {
		if n, err := strconv.Atoi(classes); err == nil {
			o.Classes = n
		} else if classes != "" {
			if o.Names, err = models.ReadClasses(classes); err != nil {
				return app.Usage(fmt.Errorf("--classes: %w", err))
			}
		}
		r, err := learn.Train(ctx, a, args, o)
		return summarize(c, r, err, trainText)
	})))
	return cmd
}

// trainInputs declares the flags of the training data.
func trainInputs(f *pflag.FlagSet, o *learn.TrainOptions) {
	f.BoolVar(&o.FromTopic, "from-topic", false, "Train on the labelled volumes in the topic.")
	f.BoolVar(&o.Follow, "follow", false, "With --from-topic, train on volumes as they arrive, each once. An epoch has "+
		"--steps-per-epoch steps.")
	f.StringVar(&o.Digits, "digits", "", "IDX file of MNIST images to train on, such as train-images-idx3-ubyte.gz, "+
		"beside the file of their labels. Rows are volumes of upright and rotated digits as in the 3D MNIST archive, "+
		"made afresh in each epoch.")
	f.IntVar(&o.Drawn, "drawn", 0, "Number of digits to draw and train on in the same way, alone or with --digits.")
	choiceVar(f, &o.Split, "split", "", "Part of an archive (HDF5, .npz) to use: train, val, test or all. pairs uses the "+
		"default part and keeps each even row and the odd row after it together in the validation split. (default train, "+
		"or all if there are no parts)", append(learn.Splits(), "pairs"))
	f.StringArrayVar(&o.Validation, "validation", nil, "Labelled data to validate on; may be repeated. (default: the "+
		"validation part of the archives, or else --validation-split of the rows)")
}

// trainOutputs declares the flags of what train writes.
func trainOutputs(f *pflag.FlagSet, o *learn.TrainOptions) {
	const beside = "train keeps a checkpoint beside the model; write it to a file"
	seekableVar(f, &o.Out, "out", "Model file to write: .keras, .h5, .onnx or .safetensors.", beside, savedExtensions...)
	seekableVar(f, &o.Best, "best", "Write the best model so far to this file, as chosen by --keep-best.",
		"the file is written again and again", savedExtensions...)
	f.BoolVar(&o.KeepBest, "keep-best", false, "Keep the weights of the best epoch, by validation accuracy unless "+
		"--monitor is set.")
	seekableVar(f, &o.Checkpoint, "checkpoint", "Checkpoint file. (default: --out followed by .checkpoint)",
		"the file is written again and again")
	f.BoolVar(&o.Resume, "resume", false, "Continue from the checkpoint, if there is one.")
	seekableVar(f, &o.TensorBoard, "tensorboard", "Directory for TensorBoard event files.", "it is a folder")
	outputVar(f, &o.History, "history", "Write loss and accuracy by epoch to this CSV file.", ".csv")
	outputVar(f, &o.Plot, "plot", "Plot loss and accuracy to this PNG file.", ".png")
}

func trainText(w io.Writer, r *learn.TrainResult) {
	h, last := r.History, len(r.History.Loss)-1
	speed := fmt.Sprintf("%.0f samples/s", r.SamplesPerSecond)
	if r.SamplesPerSecond == 0 { // resumed after its last epoch
		speed = fmt.Sprintf("training is complete after %s; raise --epochs to go on", app.Count(r.Epochs, "epoch"))
	}
	fmt.Fprintf(w, "%s: %s, %s over %s, %s\n", r.Model, app.Count(r.Parameters, "parameter"),
		app.Count(r.Epochs, "epoch"), app.Count(r.Rows, "row"), speed)
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
	if f := r.Final; f != nil {
		fmt.Fprintf(w, "the model as written, on %s held out: loss %.4f, accuracy %.4f, calibration error %.3f\n",
			app.Count(f.Rows, "row"), f.Loss, f.Accuracy, f.ECE)
	}
}
