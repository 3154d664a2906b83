//go:build unix

package integration

// valueCases are models and data whose values once did not reach the network.
var valueCases = []sensorCase{
	{
		folder:  "01-evaluate-minmax-per-volume",
		learned: "A model from elsewhere is rated on the values of the file, not on each volume's own range.",
		args:    []string{"evaluate", "hu01.npz", "--model", "m_hu01.keras", "--grid", "8", "-q"},
		out:     []string{"120 rows, accuracy 1.0000, loss 0.0004"},
	},
	{
		folder:  "01-evaluate-minmax-per-volume",
		learned: "Hounsfield units reach a network without a flag.",
		args:    []string{"evaluate", "hu.npz", "--model", "m_hu.keras", "--grid", "8"},
		out:     []string{"120 rows, accuracy 1.0000, loss 0.0004", "raw values of 1 channel"},
	},
	{
		folder:  "01-evaluate-minmax-per-volume",
		learned: "The flag overrides the model, and says so.",
		args:    []string{"evaluate", "hu.npz", "--model", "m_hu.keras", "--grid", "8", "--values", "palette:full"},
		out:     []string{"accuracy 0.4917", "palette Oranges, scaled by palette:full"},
	},
	{
		folder:  "01-evaluate-minmax-per-volume",
		learned: "What a model takes is shown, and marked where it is only assumed.",
		args:    []string{"model", "input", "m_hu.keras"},
		out:     []string{"8x8x8 cells, 1 channel, values raw (assumed"},
	},
	{
		folder:  "27-npz-trains-on-test",
		learned: "An archive with train, val and test arrays is trained on train and validated on val.",
		args:    []string{"train", "med.npz", "--init", "n2.keras", "--out", "o.keras", "--epochs", "1"},
		out:     []string{"1 epoch over 40 rows", "val_loss", "rows=15"},
	},
	{
		folder:  "27-npz-trains-on-test",
		learned: "Evaluation takes the test arrays of an archive.",
		args:    []string{"evaluate", "med.npz", "--model", "n2.keras", "--grid", "8"},
		out:     []string{"15 rows, accuracy", "part=test"},
	},
	{
		folder:  "27-npz-trains-on-test",
		learned: "A part of an npz archive can be asked for.",
		args:    []string{"evaluate", "med.npz", "--model", "n2.keras", "--grid", "8", "--split", "all"},
		out:     []string{"70 rows, accuracy"},
	},
	{
		folder:  "28-rgb-multichannel-training",
		learned: "Colours and other channels are trained on as they are.",
		args:    []string{"train", "rgb5.h5", "--init", "n2rgb.keras", "--out", "o.keras", "--epochs", "1", "--grid", "8"},
		out:     []string{"1 epoch over 50 rows", "raw values of 3 channels"},
	},
	{
		folder:  "29-onehot-and-string-labels-h5",
		learned: "One-hot labels of an HDF5 file are classes.",
		args:    []string{"inspect", "lab_onehot.h5"},
		out:     []string{"labels  0:35 1:35", "one-hot rows of 2 classes"},
	},
	{
		folder:  "29-onehot-and-string-labels-h5",
		learned: "Labels that are names are classes in alphabetical order.",
		args:    []string{"inspect", "lab_str.h5"},
		out:     []string{"labels  0:35 1:35", "0 cat, 1 dog"},
	},
}
