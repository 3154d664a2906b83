package arrays

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/voxelstream/voxelstream/ingest"
)

// LabelBytes is the most memory that a label takes: its class, and its place in a map if half of them are wrong.
const LabelBytes = 32

// MaxLabels limits the labels of one array.
const MaxLabels = 1 << 26

// Labels are the classes of the rows of an array.
type Labels struct {
	classes []int32
	bad     map[int]float64 // rows whose label is no class number
	// Assumed says how labels that are no numbers were read; empty for numbers.
	Assumed string
}

// noClass stands for a label that is in bad.
const noClass = math.MinInt32

// Len returns the number of labels.
func (l *Labels) Len() int {
	if l == nil {
		return 0
	}
	return len(l.classes)
}

// At returns the class of a row: a number of at least 0, or ingest.NoLabel.
func (l *Labels) At(row int) (int32, error) {
	if c := l.classes[row]; c != noClass {
		return c, nil
	}
	return 0, fmt.Errorf("found label %g, want a class number", l.bad[row])
}

// For returns the labels if there is one for each row of a view. It returns nil for labels of the points of a cloud,
// and an error for any other number.
func (l *Labels) For(v View) (*Labels, error) {
	switch {
	case l == nil, l.Len() == v.Rows:
		return l, nil
	case v.Columns > 0 && v.Rows == 1 && l.Len() == v.Points:
		return nil, nil
	}
	return nil, fmt.Errorf("found %s, want one label for each of the %s", count(l.Len(), "label"), count(v.Rows, "row"))
}

// Count counts the rows of each class.
func (l *Labels) Count(into map[string]int) {
	if l == nil {
		return
	}
	for _, c := range l.classes {
		if c >= 0 && len(into) < 1<<16 {
			into[strconv.Itoa(int(c))]++
		}
	}
}

// ErrShape means that an array has not the shape of labels; ErrCount, which it includes, that their number is wrong.
var (
	ErrShape = errors.New("not labels of these rows")
	ErrCount = fmt.Errorf("%w, by their number", ErrShape)
)

// shapeError is an error of LabelShape with a text of its own.
type shapeError struct {
	text string
	is   error
}

func (e *shapeError) Error() string { return e.text }
func (e *shapeError) Unwrap() error { return e.is }

// LabelShape checks the shape of an array of labels for a number of rows, and returns the number of values per row:
// (N), (N, 1), (1, N) and (1, 1, N) hold classes, (N, K) is one-hot.
func LabelShape(shape []int, rows int) (width int, err error) {
	total, axes := 1, 0
	for _, d := range shape {
		if d > 0 && total > MaxLabels*64/d {
			return 0, fmt.Errorf("found labels of shape %s, limit %d", Tuple(shape), MaxLabels)
		}
		total *= d
		if d != 1 {
			axes++
		}
	}
	switch {
	case len(shape) > 0 && axes <= 1 && total == rows:
		return 1, nil
	case len(shape) == 2 && shape[0] == rows && shape[1] > 1:
		return shape[1], nil
	case len(shape) > 0 && axes <= 1:
		return 0, &shapeError{fmt.Sprintf("found %s, want one label for each of the %s", count(total, "label"),
			count(rows, "row")), ErrCount}
	}
	return 0, &shapeError{fmt.Sprintf("found shape %s, want one label for each of the %s, or one-hot rows", Tuple(shape),
		count(rows, "row")), ErrShape}
}

// Numbers reads labels of some values per row, row-major: class numbers, or one-hot rows. read fills dst with the
// values from row first.
func Numbers(rows, width int, read func(first, n int, dst []float64) error) (*Labels, error) {
	if rows > MaxLabels {
		return nil, fmt.Errorf("found %d labels, limit %d", rows, MaxLabels)
	}
	l := &Labels{classes: make([]int32, rows), bad: map[int]float64{}}
	block := min(rows, max(1, (1<<16)/width))
	values := make([]float64, block*width)
	soft, most := false, 0.0
	for first := 0; first < rows; first += block {
		n := min(block, rows-first)
		if err := read(first, n, values[:n*width]); err != nil {
			return nil, err
		}
		for i := range n {
			row := values[i*width : (i+1)*width]
			v := row[0]
			if width > 1 {
				class, exact := hot(row)
				v, soft, most = class, soft || !exact && class >= 0, max(most, slices.Max(row))
			}
			if v != math.Trunc(v) || v < float64(ingest.NoLabel) || v > math.MaxInt32 {
				l.classes[first+i], l.bad[first+i] = noClass, v
				continue
			}
			l.classes[first+i] = int32(v)
		}
	}
	switch bad := len(l.bad); {
	case bad <= rows/2:
	case width == 1:
		for i, v := range l.bad {
			return nil, fmt.Errorf("%d of %s are no class numbers, such as %g in row %d; --labels none reads none", bad,
				count(rows, "label"), v, i)
		}
	case most > 1: // classes of parts of each row, such as points or cells
		return nil, &shapeError{fmt.Sprintf("found %d values for each row that are not one-hot", width), ErrShape}
	default:
		return nil, fmt.Errorf("%d of %s have no single highest value, want one-hot rows; --labels none reads none", bad,
			count(rows, "label"))
	}
	switch {
	case soft:
		l.Assumed = fmt.Sprintf("labels are scores of %d classes: the highest is the class", width)
	case width > 1:
		l.Assumed = fmt.Sprintf("labels are one-hot rows of %d classes", width)
	}
	return l, nil
}

// hot returns the position of the highest value, or NaN if there are several, and whether the others are 0.
func hot(row []float64) (class float64, exact bool) {
	best, at, ties := math.Inf(-1), 0, 0
	for i, v := range row {
		switch {
		case v > best:
			best, at, ties = v, i, 0
		case v == best:
			ties++
		}
	}
	if ties > 0 || math.IsInf(best, -1) {
		return math.NaN(), false
	}
	exact = true
	for i, v := range row {
		exact = exact && (v == 0 || i == at)
	}
	return float64(at), exact
}

// Texts reads labels that are text. Numerals are class numbers. Other texts are numbered in the order of names, which
// [ClassNames] gives.
func Texts(texts, names []string) (*Labels, error) {
	l := &Labels{classes: make([]int32, len(texts))}
	numbers := make(map[string]int32, len(names))
	for i, n := range names {
		numbers[n] = int32(i)
	}
	for i, t := range texts {
		if names == nil {
			n, err := strconv.ParseInt(t, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("row %d: found label %q, want a number", i, t)
			}
			l.classes[i] = int32(n)
			continue
		}
		l.classes[i] = numbers[t]
	}
	if names != nil {
		numbered := make([]string, len(names))
		for i, n := range names {
			numbered[i] = fmt.Sprintf("%d %s", i, n)
		}
		l.Assumed = "labels are names, numbered " + List(numbered)
	}
	return l, nil
}

// Distinct returns the names of classes, or nil if they are not distinct or if one is empty.
func Distinct(names []string) []string {
	seen := map[string]bool{"": true}
	for _, n := range names {
		if seen[n] {
			return nil
		}
		seen[n] = true
	}
	return names
}

// ClassNames returns the distinct texts of all labels of a file: in the order of order if that has all of them, else in
// alphabetical order. It is nil if all are numerals.
func ClassNames(order []string, all ...[]string) []string {
	var names []string
	numerals := true
	for _, texts := range all {
		for _, t := range texts {
			n, err := strconv.ParseInt(t, 10, 32)
			numerals = numerals && err == nil && n >= int64(ingest.NoLabel)
			names = append(names, t)
		}
	}
	if numerals {
		return nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(order) > 0 && !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(order, n) }) {
		return order
	}
	return names
}
