package report

import (
	"cmp"
	"errors"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/record"
)

// Diff describes the difference between two results, A and B. Rows are the same if they have the same event ID.
type Diff struct {
	A Side `json:"a"`
	B Side `json:"b"`
	// Identical reports that both have the same rows with the same classes, scores and labels.
	Identical bool `json:"identical"`
	// Both counts the rows that are in both. OnlyA and OnlyB count the others, and list the first of them by stream, in
	// the order in which the streams come, and by position.
	Both  int   `json:"both"`
	OnlyA Alone `json:"only_a"`
	OnlyB Alone `json:"only_b"`
	// Changed counts rows in both with another class. Transitions counts them by their classes, the most frequent
	// first, and ClassChanges lists those with the largest sum of their two scores.
	Changed      int          `json:"class_changed"`
	Transitions  []Transition `json:"transitions,omitempty"`
	ClassChanges []Change     `json:"class_changes,omitempty"`
	// OtherTransitions counts the changed rows that are not in Transitions, because there are more than 65536 different
	// ones.
	OtherTransitions int `json:"other_transitions,omitempty"`
	// Scores describes the scores of the rows with the same class, and ScoreChanges lists those with the largest
	// changes.
	Scores       ScoreChange `json:"scores"`
	ScoreChanges []Change    `json:"score_changes,omitempty"`
	// Labels compares the rows with the same label in both. It is nil without such rows.
	Labels *LabelChange `json:"labels,omitempty"`
	// Relabelled counts rows in both with another label, or with a label in one of them only.
	Relabelled int `json:"relabelled,omitempty"`
	// Names are the names of classes, as far as they are known.
	Names map[int]string `json:"names,omitempty"`
}

// Side is one of two results.
type Side struct {
	// Name is set by the caller, for example to the name of the file.
	Name string `json:"name,omitempty"`
	Rows int    `json:"rows"`
	// Repeated counts rows with the event ID of a row before, as far as that had no partner yet. They are left out.
	Repeated int `json:"repeated,omitempty"`
	// Model is that of the first row. Models reports that other rows have another digest.
	Model  record.Model `json:"model"`
	Models bool         `json:"several_models,omitempty"`
}

// Alone counts rows that are in one result only.
type Alone struct {
	Rows int      `json:"rows"`
	List []string `json:"event_ids,omitempty"`
}

// Transition counts rows that have one class in A and another in B.
type Transition struct {
	From int `json:"from"`
	To   int `json:"to"`
	Rows int `json:"rows"`
}

// Change is a row that differs.
type Change struct {
	EventID string  `json:"event_id"`
	From    int     `json:"from"`
	To      int     `json:"to"`
	ScoreA  float64 `json:"score_a"`
	ScoreB  float64 `json:"score_b"`
	Label   *int    `json:"label,omitempty"`
}

// ScoreChange describes how scores of rows with the same class differ. All changes are absolute.
type ScoreChange struct {
	Rows    int     `json:"rows"`
	Changed int     `json:"changed"`
	Max     float64 `json:"max"`
	Mean    float64 `json:"mean"`
	// Histogram counts the rows by change.
	Histogram []ScoreBin `json:"histogram,omitempty"`
}

// ScoreBin counts rows whose score changed by more than that of the bin before, and by at most UpTo.
type ScoreBin struct {
	UpTo float64 `json:"up_to"`
	Rows int     `json:"rows"`
}

// scoreBins are the limits of the bins of ScoreChange.
var scoreBins = []float64{0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1}

// LabelChange compares the classes of two results with the labels.
type LabelChange struct {
	Rows      int     `json:"rows"`
	AccuracyA float64 `json:"accuracy_a"`
	AccuracyB float64 `json:"accuracy_b"`
	// BothRight to BothWrong count the rows: right in both, right in B only, right in A only, wrong in both.
	BothRight   int `json:"both_right"`
	BecameRight int `json:"became_right"`
	BecameWrong int `json:"became_wrong"`
	BothWrong   int `json:"both_wrong"`
	// P is the two-sided p-value of McNemar's test, exact by the binomial distribution: the probability that
	// BecameRight and BecameWrong differ at least as much if the models are equally good (McNemar 1947).
	P float64 `json:"mcnemar_p"`
	// BecameRightRows and BecameWrongRows list the rows with the largest sum of their two scores.
	BecameRightRows []Change `json:"became_right_rows,omitempty"`
	BecameWrongRows []Change `json:"became_wrong_rows,omitempty"`
}

const (
	// listed limits the lists of changed rows, and listedAlone those of rows in one result.
	listed      = 20
	listedAlone = 100
	// maxTransitions and maxNames limit what is counted and remembered for each class.
	maxTransitions = 1 << 16
	maxNames       = 1 << 12
)

// Reader reads classifications, as readers of package sinks/table do: it fills dst with the next ones and returns their
// number, and io.EOF at the end.
type Reader interface {
	Read(dst []record.Classification) (int, error)
}

// Rows returns the rows that r reads.
func Rows(r Reader) iter.Seq2[record.Classification, error] {
	return func(yield func(record.Classification, error) bool) {
		block := make([]record.Classification, 256)
		for {
			n, err := r.Read(block)
			for i := range n {
				if !yield(block[i], nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(record.Classification{}, err)
				return
			}
			clear(block)
		}
	}
}

// Compare compares two results. It reads both of them once, side by side, and remembers a row only until its partner
// comes: results in the same order need little memory, others some 40 bytes for each row that waits. A row that comes
// twice in a result has a partner once. An error of a or b ends the comparison.
func Compare(a, b iter.Seq2[record.Classification, error]) (*Diff, error) {
	c := newComparison()
	nextA, stopA := iter.Pull2(a)
	defer stopA()
	nextB, stopB := iter.Pull2(b)
	defer stopB()
	rows := [2]cursor{{next: nextA}, {next: nextB}}
	for i := range rows {
		if err := rows[i].advance(); err != nil {
			return nil, err
		}
	}
	for rows[0].more || rows[1].more {
		step := c.step(&rows[0], &rows[1])
		for i := range rows {
			if !step[i] {
				continue
			}
			if err := rows[i].advance(); err != nil {
				return nil, err
			}
		}
	}
	return c.diff(), nil
}

// cursor is a place in a result.
type cursor struct {
	next func() (record.Classification, error, bool)
	row  record.Classification
	more bool // row is a row of the result
}

func (c *cursor) advance() (err error) {
	c.row, err, c.more = c.next()
	return err
}

// step uses the rows of one or both cursors, and reports which ones. When a row meets a partner that waits, its result
// lags behind: the other one stays where it is, so that the two are side by side again after a gap.
func (c *comparison) step(a, b *cursor) (used [2]bool) {
	if a.more && b.more && a.row.EventID == b.row.EventID {
		c.count(0, &a.row)
		c.count(1, &b.row)
		c.pair(a.row.EventID, valueOf(&a.row), valueOf(&b.row))
		return [2]bool{true, true}
	}
	keys := [2]key{}
	for i, at := range []*cursor{a, b} {
		if !at.more {
			continue
		}
		keys[i] = c.key(at.row.EventID)
		if partner, ok := c.sides[1-i].waiting[keys[i]]; ok {
			delete(c.sides[1-i].waiting, keys[i])
			both := [2]value{partner, partner}
			both[i] = valueOf(&at.row)
			c.count(i, &at.row)
			c.pair(at.row.EventID, both[0], both[1])
			used[i] = true
			return used
		}
	}
	for i, at := range []*cursor{a, b} {
		if !at.more {
			continue
		}
		c.count(i, &at.row)
		if _, repeated := c.sides[i].waiting[keys[i]]; repeated {
			c.sides[i].Repeated++
		} else {
			c.sides[i].waiting[keys[i]] = valueOf(&at.row)
		}
		used[i] = true
	}
	return used
}

// key identifies a row by its event ID: its series, which is all but the position, and the halves of the position.
type key struct{ series, high, low uint32 }

// value is what is compared of a row.
type value struct {
	class, label int32 // label -1: none
	score        float32
}

func valueOf(c *record.Classification) value {
	v := value{class: int32(max(math.MinInt32, min(c.Class, math.MaxInt32))), label: -1, score: c.Score}
	if c.Label != nil && *c.Label >= 0 {
		v.label = *c.Label
	}
	return v
}

type side struct {
	Side
	waiting map[key]value
}

// comparison collects the difference.
type comparison struct {
	d           Diff
	sides       [2]side
	series      map[record.ID]uint32
	ids         []record.ID // of the series
	transitions map[[2]int32]int
	moved       float64 // sum of the changes of scores

	classes, scores, right, wrong ranking
}

func newComparison() *comparison {
	c := &comparison{series: map[record.ID]uint32{}, transitions: map[[2]int32]int{}}
	c.d.Names = map[int]string{}
	c.d.Labels = &LabelChange{}
	for i := range c.sides {
		c.sides[i].waiting = map[key]value{}
	}
	for _, limit := range scoreBins {
		c.d.Scores.Histogram = append(c.d.Scores.Histogram, ScoreBin{UpTo: limit})
	}
	return c
}

// count counts a row of A (0) or B (1).
func (c *comparison) count(which int, row *record.Classification) {
	s := &c.sides[which]
	if s.Rows == 0 {
		s.Model = row.Model
	} else if s.Model.Digest != row.Model.Digest {
		s.Models = true
	}
	s.Rows++
	if row.Name != "" && c.d.Names[row.Class] == "" && len(c.d.Names) < maxNames {
		c.d.Names[row.Class] = strings.Clone(row.Name)
	}
}

// key returns the key of an event ID. One that is not the ID of an item is a series of its own.
func (c *comparison) key(eventID string) key {
	id, err := record.ParseID(eventID)
	if err != nil {
		id = record.ID{Stream: eventID, Seq: math.MaxUint64}
	}
	seq := id.Seq
	if err == nil {
		id.Seq = 0
	}
	n, ok := c.series[id]
	if !ok {
		id.Stream = strings.Clone(id.Stream)
		n = uint32(len(c.ids))
		c.ids = append(c.ids, id)
		c.series[id] = n
	}
	return key{n, uint32(seq >> 32), uint32(seq)}
}

// eventID is the inverse of key.
func (c *comparison) eventID(k key) string {
	id := c.ids[k.series]
	if id.Seq != 0 {
		return id.Stream
	}
	id.Seq = uint64(k.high)<<32 | uint64(k.low)
	return id.String()
}

// pair compares the two values of a row.
func (c *comparison) pair(eventID string, a, b value) {
	d := &c.d
	d.Both++
	x, y := probability(float64(a.score)), probability(float64(b.score))
	change := Change{EventID: eventID, From: int(a.class), To: int(b.class), ScoreA: x, ScoreB: y}
	if a.label == b.label && a.label >= 0 {
		label := int(a.label)
		change.Label = &label
		c.pairLabelled(change)
	} else if a.label != b.label {
		d.Relabelled++
	}
	if a.class != b.class {
		d.Changed++
		t := [2]int32{a.class, b.class}
		if _, known := c.transitions[t]; known || len(c.transitions) < maxTransitions {
			c.transitions[t]++
		} else {
			d.OtherTransitions++
		}
		c.classes.add(x+y, change)
		return
	}
	moved := math.Abs(y - x)
	d.Scores.Rows++
	d.Scores.Max = max(d.Scores.Max, moved)
	c.moved += moved
	if math.Float32bits(a.score) != math.Float32bits(b.score) {
		d.Scores.Changed++
		c.scores.add(moved, change)
	}
	for i := range d.Scores.Histogram {
		if bin := &d.Scores.Histogram[i]; moved <= bin.UpTo {
			bin.Rows++
			break
		}
	}
}

func (c *comparison) pairLabelled(x Change) {
	l := c.d.Labels
	l.Rows++
	switch before, after := x.From == *x.Label, x.To == *x.Label; {
	case before && after:
		l.BothRight++
	case after:
		l.BecameRight++
		c.right.add(x.ScoreA+x.ScoreB, x)
	case before:
		l.BecameWrong++
		c.wrong.add(x.ScoreA+x.ScoreB, x)
	default:
		l.BothWrong++
	}
}

// diff returns the result when both sides have ended.
func (c *comparison) diff() *Diff {
	d := &c.d
	d.A, d.B = c.sides[0].Side, c.sides[1].Side
	d.OnlyA, d.OnlyB = c.alone(0), c.alone(1)
	d.Scores.Mean = c.moved / float64(max(1, d.Scores.Rows))
	for t, n := range c.transitions {
		d.Transitions = append(d.Transitions, Transition{int(t[0]), int(t[1]), n})
	}
	slices.SortFunc(d.Transitions, func(x, y Transition) int {
		return cmp.Or(cmp.Compare(y.Rows, x.Rows), cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To))
	})
	d.ClassChanges, d.ScoreChanges = c.classes.list(), c.scores.list()
	d.Identical = d.OnlyA.Rows+d.OnlyB.Rows+d.Changed+d.Scores.Changed+d.Relabelled+d.A.Repeated+d.B.Repeated == 0
	if l := d.Labels; l.Rows == 0 {
		d.Labels = nil
	} else {
		l.AccuracyA = float64(l.BothRight+l.BecameWrong) / float64(l.Rows)
		l.AccuracyB = float64(l.BothRight+l.BecameRight) / float64(l.Rows)
		l.P = mcNemar(l.BecameRight, l.BecameWrong)
		l.BecameRightRows, l.BecameWrongRows = c.right.list(), c.wrong.list()
	}
	return d
}

// alone returns the rows of one side that found no partner.
func (c *comparison) alone(which int) Alone {
	waiting := c.sides[which].waiting
	out := Alone{Rows: len(waiting)}
	var first []key
	less := func(x, y key) int {
		return cmp.Or(cmp.Compare(x.series, y.series), cmp.Compare(x.high, y.high), cmp.Compare(x.low, y.low))
	}
	for k := range waiting {
		if len(first) == listedAlone && less(k, first[listedAlone-1]) > 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(first, k, less)
		first = slices.Insert(first, at, k)
		first = first[:min(len(first), listedAlone)]
	}
	for _, k := range first {
		out.List = append(out.List, c.eventID(k))
	}
	return out
}

// ranking keeps the changes with the highest ranks. Those of equal rank are ordered by event ID, so that the order in
// which they come does not matter.
type ranking struct {
	rows []ranked
}

type ranked struct {
	rank float64
	Change
}

func (r *ranking) add(rank float64, x Change) {
	row := ranked{rank, x}
	less := func(x, y ranked) int {
		return cmp.Or(cmp.Compare(y.rank, x.rank), cmp.Compare(x.EventID, y.EventID))
	}
	if len(r.rows) == listed {
		if less(row, r.rows[listed-1]) > 0 {
			return
		}
		r.rows = r.rows[:listed-1]
	}
	row.EventID = strings.Clone(row.EventID)
	at, _ := slices.BinarySearchFunc(r.rows, row, less)
	r.rows = slices.Insert(r.rows, at, row)
}

func (r *ranking) list() []Change {
	var out []Change
	for _, x := range r.rows {
		out = append(out, x.Change)
	}
	return out
}

// mcNemar returns the probability that of m+n throws of a fair coin the numbers of the two sides differ by at least
// |m-n|.
func mcNemar(m, n int) float64 {
	few, all := min(m, n), m+n
	if 2*few == all {
		return 1
	}
	// The terms of the sum fall by at least a constant factor from the largest, so the last ones do not matter.
	lgamma := func(x int) float64 {
		v, _ := math.Lgamma(float64(x + 1))
		return v
	}
	p := 0.0
	for k := few; k >= 0; k-- {
		term := math.Exp(lgamma(all) - lgamma(k) - lgamma(all-k) - float64(all)*math.Ln2)
		p += term
		if term < p*1e-17 {
			break
		}
	}
	return min(1, 2*p)
}
