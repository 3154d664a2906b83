package report

import (
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
)

const (
	// maxClasses limits the classes that are counted one by one: those with smaller numbers. The confusion matrix then
	// takes at most 8 MiB.
	maxClasses = 1024
	// confidenceBins is the number of bins of the histogram of scores.
	confidenceBins = 20
	// defaultExamples is the number of examples of each kind.
	defaultExamples = 12
)

// Options configures a Builder.
type Options struct {
	Title string
	Model record.Model
	// Classes are the names of the model's classes, if known. A name may be empty. Classes that are not listed get the
	// name in their classifications.
	Classes []string
	// Examples is the number of volumes of each kind to list, 12 if it is 0. A negative number lists none.
	Examples int
}

// Builder collects classifications. Its memory does not grow with their number. It is not safe for concurrent use.
type Builder struct {
	o            Options
	names        []string
	counts       []int // by class
	other        int
	rows         int
	scores       float64
	confidence   [confidenceBins]Bin
	labelled     int
	correct      int
	calibration  train.Calibration
	confusion    [][]int // square
	outside      int     // labelled rows that are not in the confusion matrix
	ranked       int     // labelled rows whose class is among the k best
	k            int     // number of classes in each row's top-k, or -1 if it differs
	pairs        pairs
	least, wrong examples
	rejected     []Rejected
	failed       int
	// judged counts the rows with an energy, unfamiliar those that are unlike the training data.
	judged, unfamiliar int
}

// NewBuilder returns a builder without classifications.
func NewBuilder(o Options) *Builder {
	if o.Examples == 0 {
		o.Examples = defaultExamples
	}
	b := &Builder{o: o, names: slices.Clone(o.Classes[:min(len(o.Classes), maxClasses)])}
	b.grow(len(b.names))
	b.least, b.wrong = examples{limit: o.Examples, sign: 1}, examples{limit: o.Examples, sign: -1}
	for i := range b.confidence {
		b.confidence[i].Low, b.confidence[i].High = float64(i)/confidenceBins, float64(i+1)/confidenceBins
	}
	return b
}

// grow makes room for the classes below n.
func (b *Builder) grow(n int) {
	for len(b.names) < n {
		b.names = append(b.names, "")
	}
	for len(b.counts) < n {
		b.counts = append(b.counts, 0)
	}
}

// Add adds a classification. The report depends on the order of calls: rows are to come in the order of their files,
// and within a file in the order of the file. c is not retained.
func (b *Builder) Add(c *record.Classification) {
	score := probability(float64(c.Score))
	b.rows++
	b.scores += score
	known := c.Class >= 0 && c.Class < maxClasses
	if known {
		b.grow(c.Class + 1)
		b.counts[c.Class]++
		if b.names[c.Class] == "" && c.Name != "" {
			b.names[c.Class] = strings.Clone(c.Name)
		}
	} else {
		b.other++
	}
	bin := &b.confidence[min(int(score*confidenceBins), confidenceBins-1)]
	bin.Rows++
	b.least.add(c, score)
	if c.Energy != nil {
		b.judged++
	}
	if c.Unfamiliar {
		b.unfamiliar++
	}
	if c.Label == nil || *c.Label < 0 {
		return
	}
	label := int(*c.Label)
	right := label == c.Class
	b.labelled++
	bin.Labelled++
	bin.Confidence += score
	b.calibration.Add(score, right)
	b.pairs.add(c, right)
	b.addRank(c, label)
	if right {
		b.correct++
		bin.Correct++
	} else {
		b.wrong.add(c, score)
	}
	if !known || label >= maxClasses {
		b.outside++
		return
	}
	b.grow(label + 1)
	b.confuse(label, c.Class)
}

// confuse counts a row in the confusion matrix.
func (b *Builder) confuse(label, class int) {
	for len(b.confusion) <= label {
		b.confusion = append(b.confusion, nil)
	}
	row := &b.confusion[label]
	if len(*row) <= class {
		*row = append(*row, make([]int, class+1-len(*row))...)
	}
	(*row)[class]++
}

// addRank counts a row whose label is among its best classes.
func (b *Builder) addRank(c *record.Classification, label int) {
	if b.labelled == 1 {
		b.k = len(c.TopK)
	}
	if b.k != len(c.TopK) {
		b.k = -1
	}
	if slices.ContainsFunc(c.TopK, func(s record.Score) bool { return s.Class == label }) {
		b.ranked++
	}
}

// Reject counts a row that could not be classified, and why. The first MaxRejected are listed.
func (b *Builder) Reject(eventID, reason string) {
	b.failed++
	if len(b.rejected) < MaxRejected {
		b.rejected = append(b.rejected, Rejected{EventID: strings.Clone(eventID), Reason: strings.Clone(reason)})
	}
}

// Report returns the report of what was added. Its Rows are those classified and rejected; the caller adds what it
// knows about files, the model's input and the run.
func (b *Builder) Report() *Report {
	r := &Report{
		Title: b.o.Title, Model: b.o.Model,
		Rows: b.rows + b.failed, Classified: b.rows, Failed: b.failed,
		Rejected: slices.Clone(b.rejected), OtherClasses: b.other, Confidence: slices.Clone(b.confidence[:]),
		Labelled: b.evaluated(), MeanScore: b.scores / float64(max(1, b.rows)),
		LeastConfident: b.least.list(b), ConfidentlyWrong: b.wrong.list(b),
	}
	if b.judged > 0 {
		r.Unfamiliar = &b.unfamiliar
	}
	r.Classes = make([]Class, len(b.counts))
	for i, n := range b.counts {
		r.Classes[i] = Class{Class: i, Name: b.names[i], Rows: n}
	}
	average(r.Confidence)
	return r
}

// average divides the sums of scores in bins by their rows.
func average(bins []Bin) {
	for i := range bins {
		bins[i].Confidence /= float64(max(1, bins[i].Labelled))
	}
}

// evaluated returns what is known about labelled rows, or nil if there are none.
func (b *Builder) evaluated() *Labelled {
	if b.labelled == 0 {
		return nil
	}
	l := &Labelled{
		Rows: b.labelled, Correct: b.correct, Accuracy: float64(b.correct) / float64(b.labelled), Outside: b.outside,
		ECE: b.calibration.ECE(), Confusion: make([][]int, len(b.counts)),
	}
	for i := range l.Confusion {
		l.Confusion[i] = make([]int, len(b.counts))
		if i < len(b.confusion) {
			copy(l.Confusion[i], b.confusion[i])
		}
	}
	scores, macro := train.ScoreClasses(l.Confusion)
	l.MacroF1 = macro
	for _, s := range scores {
		s.Name = b.names[s.Class]
		l.PerClass = append(l.PerClass, s)
	}
	for i, bin := range b.calibration.Bins {
		n := float64(len(b.calibration.Bins))
		l.Calibration = append(l.Calibration, Bin{
			Low: float64(i) / n, High: float64(i+1) / n, Rows: bin.Rows, Labelled: bin.Rows, Correct: bin.Correct,
			Confidence: bin.Confidence,
		})
	}
	average(l.Calibration)
	if b.k > 1 {
		top := float64(b.ranked) / float64(b.labelled)
		l.TopK, l.K = &top, b.k
	}
	l.Upright, l.Rotated = b.pairs.shares()
	return l
}

// probability returns a score as a number from 0 to 1. NaN becomes 0.
func probability(score float64) float64 {
	if score >= 0 { // false for NaN
		return min(score, 1)
	}
	return 0
}

// examples holds the rows with the lowest scores times a sign, lowest first. Equal rows stay in the order of their
// arrival.
type examples struct {
	limit int
	sign  float64
	rows  []Example
}

func (e *examples) add(c *record.Classification, score float64) {
	if e.limit <= 0 || len(e.rows) == e.limit && e.sign*score >= e.sign*e.rows[e.limit-1].Score {
		return
	}
	x := Example{Score: score, EventID: strings.Clone(c.EventID), Class: c.Class, Name: strings.Clone(c.Name)}
	x.ID = c.ID()
	x.ID.Stream = strings.Clone(x.ID.Stream)
	if c.Label != nil && *c.Label >= 0 {
		label := int(*c.Label)
		x.Label = &label
	}
	at := len(e.rows)
	for at > 0 && e.sign*score < e.sign*e.rows[at-1].Score {
		at--
	}
	if len(e.rows) == e.limit {
		e.rows = e.rows[:e.limit-1]
	}
	e.rows = slices.Insert(e.rows, at, x)
}

// list returns a copy of the rows, with the names of their classes.
func (e *examples) list(b *Builder) []Example {
	rows := slices.Clone(e.rows)
	for i := range rows {
		x := &rows[i]
		if x.Name == "" {
			x.Name = b.name(x.Class)
		}
		if x.Label != nil {
			x.LabelName = b.name(*x.Label)
		}
	}
	return rows
}

func (b *Builder) name(class int) string {
	if class >= 0 && class < len(b.names) {
		return b.names[class]
	}
	return ""
}
