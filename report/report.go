// Package report describes the results of classifying files: outcomes, counts, confidence and, where labels exist,
// accuracy, confusion and calibration. A [Report] is a self-contained HTML page, and the same as JSON. [Compare]
// describes the difference between two results.
package report

import (
	"time"

	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
)

// Report describes the classifications of some files. Its JSON form and its page depend on the results only, except for
// Run and for the times of Files, which the caller may leave out.
type Report struct {
	Title string       `json:"title"`
	Model record.Model `json:"model"`
	// Input describes the numbers that the model took for the cells of a volume, such as "palette Oranges". Assumed
	// lists what about the input neither the model nor the user stated.
	Input   string   `json:"input,omitempty"`
	Assumed []string `json:"assumed,omitempty"`
	// Rows counts the rows of all files: those classified, failed and skipped. A row without a label is skipped by an
	// evaluation.
	Rows       int `json:"rows"`
	Classified int `json:"classified"`
	Failed     int `json:"failed"`
	Skipped    int `json:"skipped"`
	// Files lists the files in their order.
	Files []File `json:"files,omitempty"`
	// Rejected lists the first rows that failed, at most MaxRejected.
	Rejected []Rejected `json:"rejected,omitempty"`
	// Classes counts the classifications of each class, in the order of their numbers. OtherClasses counts those of
	// classes numbered 1024 and above.
	Classes      []Class `json:"classes"`
	OtherClasses int     `json:"other_classes,omitempty"`
	// Confidence counts rows by the score of their class, in bins of equal width from 0 to 1.
	Confidence []Bin   `json:"confidence"`
	MeanScore  float64 `json:"mean_score"`
	// Temperature is that of the model, if its scores are calibrated and the caller says so. Unfamiliar counts the rows
	// that are unlike the training data of the model; it is nil if none has an energy.
	Temperature float64 `json:"temperature,omitempty"`
	Unfamiliar  *int    `json:"unfamiliar,omitempty"`
	// Labelled describes the rows whose true class is known. It is nil without such rows.
	Labelled *Labelled `json:"labelled,omitempty"`
	// LeastConfident lists the rows with the lowest scores, lowest first. ConfidentlyWrong lists the rows of a wrong
	// class with the highest scores, highest first. Rows of equal scores are in the order of the rows.
	LeastConfident   []Example `json:"least_confident,omitempty"`
	ConfidentlyWrong []Example `json:"confidently_wrong,omitempty"`
	// Versions lists the versions of the programs and libraries that made the results.
	Versions []Version `json:"versions,omitempty"`
	// Run describes how the results were made. It may be nil.
	Run *Run `json:"run,omitempty"`
}

// Run describes how results were made: what differs between two runs with the same results.
type Run struct {
	Start   time.Time `json:"start,omitzero"`
	Seconds float64   `json:"seconds"`
	// Rows counts the rows that this run classified, and RowsPerSecond its rate.
	Rows          int     `json:"rows"`
	RowsPerSecond float64 `json:"rows_per_second"`
	Workers       int     `json:"workers,omitempty"`
}

// Version is the version of a program or library.
type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Status is the outcome of a file.
type Status string

// The outcomes of a file. A resumed file was finished by an earlier run, a skipped one was left out on purpose, and a
// repeated one is the same as another. A partial file has rows that failed, or could not be read to its end.
const (
	Done     Status = "done"
	Resumed  Status = "resumed"
	Skipped  Status = "skipped"
	Repeated Status = "repeated"
	Partial  Status = "partial"
	Failed   Status = "failed"
)

// File is a file and its outcome.
type File struct {
	File string `json:"file"`
	// Streams are the streams of its rows.
	Streams    []string `json:"streams,omitempty"`
	Status     Status   `json:"status"`
	Rows       int      `json:"rows"`
	Classified int      `json:"classified"`
	Failed     int      `json:"failed"`
	// Accuracy is that of the labelled rows. It is nil without such rows.
	Accuracy *float64 `json:"accuracy,omitempty"`
	// Error says why the file failed. Notes say what else a reader should know about it.
	Error string   `json:"error,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Seconds is the time that the file took, or 0 if the report does not say.
	Seconds float64 `json:"seconds,omitempty"`
}

// MaxRejected is the maximum length of Report.Rejected.
const MaxRejected = 1000

// Rejected is a row that failed, and why.
type Rejected struct {
	EventID string `json:"event_id"`
	Reason  string `json:"reason"`
}

// Class counts the classifications of a class.
type Class struct {
	Class int    `json:"class"`
	Name  string `json:"name,omitempty"`
	Rows  int    `json:"rows"`
}

// Bin counts the rows with scores from Low, inclusive, to High, exclusive; the last bin includes 1.
type Bin struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	Rows int     `json:"rows"`
	// Labelled counts the rows with a label, Correct those of the right class, and Confidence is the mean score of the
	// labelled rows.
	Labelled   int     `json:"labelled,omitempty"`
	Correct    int     `json:"correct,omitempty"`
	Confidence float64 `json:"mean_confidence,omitempty"`
}

// Labelled describes the rows whose true class is known.
type Labelled struct {
	Rows     int     `json:"rows"`
	Correct  int     `json:"correct"`
	Accuracy float64 `json:"accuracy"`
	// Outside counts the rows that are not in PerClass and Confusion, because a class is above the limit.
	Outside int `json:"outside,omitempty"`
	// MacroF1 is the mean of the classes' F1.
	MacroF1 float64 `json:"macro_f1"`
	// TopK is the fraction of rows whose true class is among the K best. It is nil if the rows list different numbers
	// of classes.
	TopK *float64 `json:"top_k_accuracy,omitempty"`
	K    int      `json:"k,omitempty"`
	// Loss and AUC are not computed from classifications. They are nil unless the caller sets them.
	Loss *float64 `json:"loss,omitempty"`
	AUC  *float64 `json:"auc,omitempty"`
	// ECE is the expected calibration error in the bins of Calibration, as defined by nn/train.
	ECE float64 `json:"ece"`
	// Uncalibrated is the same for scores without the temperature. It is nil unless the caller sets it.
	Uncalibrated *float64 `json:"ece_uncalibrated,omitempty"`
	Calibration  []Bin    `json:"calibration"`
	// PerClass has the scores of each class, in the order of the rows and columns of Confusion.
	PerClass []train.ClassScore `json:"per_class"`
	// Confusion counts rows by true class, then by predicted class.
	Confusion [][]int `json:"confusion"`
	// Upright and Rotated are the accuracy of the even and odd rows of files whose rows come in pairs, as generate
	// --augment makes them. They are nil for other files.
	Upright *Share `json:"upright,omitempty"`
	Rotated *Share `json:"rotated,omitempty"`
}

// Share is the accuracy of some of the rows.
type Share struct {
	Rows     int     `json:"rows"`
	Accuracy float64 `json:"accuracy"`
}

// Example is a classified row that is worth looking at.
type Example struct {
	EventID string    `json:"event_id"`
	ID      record.ID `json:"-"`
	Class   int       `json:"class"`
	Name    string    `json:"name,omitempty"`
	Score   float64   `json:"score"`
	Label   *int      `json:"label,omitempty"`
	// LabelName is the name of the true class.
	LabelName string `json:"label_name,omitempty"`
	// Picture is a PNG of the volume, if Report.Draw made one. Dims is its depth, height and width in cells.
	Picture []byte  `json:"picture,omitempty"`
	Dims    *[3]int `json:"dims,omitempty"`
	// Note says why there is no picture.
	Note string `json:"note,omitempty"`
}
