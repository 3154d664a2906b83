package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Text writes the difference for a terminal.
func (d *Diff) Text(w io.Writer) error {
	var b strings.Builder
	for _, line := range append([]string{"A: " + d.A.describe(), "B: " + d.B.describe()}, d.Summary()...) {
		fmt.Fprintln(&b, line)
	}
	d.textList(&b, "Changes of class", len(d.Transitions), func(t io.Writer) {
		fmt.Fprintln(t, "in A\tin B\trows")
		for _, x := range d.Transitions[:min(len(d.Transitions), listed)] {
			fmt.Fprintf(t, "%s\t%s\t%s\n", d.class(x.From), d.class(x.To), count(x.Rows))
		}
	})
	for _, list := range d.changeLists() {
		d.textList(&b, list.Title, len(list.Rows), func(t io.Writer) {
			fmt.Fprint(t, "event ID\tin A\tscore\tin B\tscore\tlabel")
			if list.Moved {
				fmt.Fprint(t, "\tchange of score")
			}
			fmt.Fprintln(t)
			for _, x := range list.Rows {
				label := "-"
				if x.Label != nil {
					label = d.class(*x.Label)
				}
				fmt.Fprintf(t, "%s\t%s\t%.4f\t%s\t%.4f\t%s", show(x.EventID), d.class(x.From), x.ScoreA, d.class(x.To),
					x.ScoreB, label)
				if list.Moved {
					fmt.Fprintf(t, "\t%+.4f", x.ScoreB-x.ScoreA)
				}
				fmt.Fprintln(t)
			}
		})
	}
	for _, side := range d.aloneLists(textAlone) {
		d.textList(&b, side.Title, len(side.IDs), func(t io.Writer) {
			for _, id := range side.IDs {
				fmt.Fprintln(t, show(id))
			}
		})
	}
	// Terminals show the narrow spaces of pages as they like.
	_, err := strings.NewReplacer("\u202f", " ", "\u00a0", " ").WriteString(w, b.String())
	return err
}

// textList writes a titled table of n rows, or nothing if n is 0.
func (d *Diff) textList(b *strings.Builder, title string, n int, rows func(io.Writer)) {
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	t := tabwriter.NewWriter(b, 2, 8, 2, ' ', 0)
	rows(t)
	t.Flush()
}

// describe returns the name, size and model of a side.
func (s *Side) describe() string {
	text := plural(s.Rows, "row")
	if s.Name != "" {
		text = show(s.Name) + ": " + text
	}
	switch {
	case s.Models:
		text += " of several models"
	case s.Model.Name != "":
		text += " of model " + show(strings.TrimSpace(s.Model.Name+" "+s.Model.Version))
	}
	if s.Repeated > 0 {
		text += ", " + plural(s.Repeated, "repeated row") + " left out"
	}
	return text
}

// Summary describes the difference in a few sentences.
func (d *Diff) Summary() []string {
	if d.Identical {
		return []string{"The results are identical: the same rows with the same classes, scores and labels."}
	}
	var lines []string
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	line("%s in both results, %s only in A, %s only in B.", plural(d.Both, "row"), count(d.OnlyA.Rows),
		count(d.OnlyB.Rows))
	if d.Both > 0 && d.Changed == 0 {
		line("No row changed class.")
	} else if d.Both > 0 {
		line("%s of the %s in both changed class (%s).", count(d.Changed), plural(d.Both, "row"),
			percent(float64(d.Changed)/float64(d.Both)))
	}
	if s := d.Scores; s.Rows > 0 && s.Changed == 0 {
		line("The scores of the %s with the same class are equal.", plural(s.Rows, "row"))
	} else if s.Rows > 0 {
		line("%s of the %s with the same class changed score: by at most %s, by %s on average.", count(s.Changed),
			plural(s.Rows, "row"), small(s.Max), small(s.Mean))
	}
	if l := d.Labels; l != nil {
		line("Accuracy on the %s in both: %s in A, %s in B.", plural(l.Rows, "labelled row"), percent(l.AccuracyA),
			percent(l.AccuracyB))
		if l.BecameRight+l.BecameWrong > 0 {
			line("%s became right, %s became wrong (%s).", plural(l.BecameRight, "row"), count(l.BecameWrong),
				l.significance())
		}
	}
	if d.Relabelled > 0 {
		line("%s have another label, or a label in one of the results only.", plural(d.Relabelled, "row"))
	}
	return lines
}

// significance says what McNemar's test finds.
func (l *LabelChange) significance() string {
	if l.P == 0 {
		return "McNemar's test: p < 1e-300" // below the range of float64
	}
	return "McNemar's test: p = " + small(l.P)
}

// small formats a number between 0 and 1 with three significant digits.
func small(x float64) string { return strconv.FormatFloat(x, 'g', 3, 64) }

// class returns the number of a class and, if it is known, its name.
func (d *Diff) class(number int) string { return class(number, d.Names[number]) }

type changeList struct {
	Title, Caption string
	Rows           []Change
	Moved          bool // shows the change of the score
}

// changeLists returns the lists of changed rows that are not empty.
func (d *Diff) changeLists() (lists []changeList) {
	add := func(title, caption string, rows []Change) {
		if len(rows) > 0 {
			lists = append(lists, changeList{Title: title, Caption: caption, Rows: rows})
		}
	}
	if l := d.Labels; l != nil {
		add("Became wrong", "Right in A and wrong in B.", l.BecameWrongRows)
		add("Became right", "Wrong in A and right in B.", l.BecameRightRows)
	}
	add("Changed class", "Rows of which A and B are both sure, and of different classes.", d.ClassChanges)
	add("Changed score", "Rows with the same class, largest change of the score first.", d.ScoreChanges)
	if len(d.ScoreChanges) > 0 {
		lists[len(lists)-1].Moved = true
	}
	return lists
}

type aloneList struct {
	Title string
	Rows  int
	IDs   []string
}

// textAlone limits the rows in one result that a terminal shows.
const textAlone = 10

// aloneLists returns the lists of rows that are in one result only, unless they are empty, with up to limit rows.
func (d *Diff) aloneLists(limit int) (lists []aloneList) {
	for _, side := range []struct {
		title string
		Alone
	}{{"Only in A", d.OnlyA}, {"Only in B", d.OnlyB}} {
		if side.Rows == 0 {
			continue
		}
		side.List = side.List[:min(limit, len(side.List))]
		if side.Rows > len(side.List) {
			side.title += fmt.Sprintf(" (the first %d of %s)", len(side.List), count(side.Rows))
		}
		lists = append(lists, aloneList{side.title, side.Rows, side.List})
	}
	return lists
}

// HTML writes the difference as a self-contained page.
func (d *Diff) HTML(w io.Writer) error {
	p := &diffPage{
		Diff: d, DescribeA: d.A.describe(), DescribeB: d.B.describe(), Lists: d.changeLists(), Alone: d.aloneLists(listedAlone),
	}
	if l := d.Labels; l != nil && l.BecameRight+l.BecameWrong > 0 {
		p.Significance = d.Labels.significance()
	}
	p.tile()
	p.addMatrix()
	most := 1
	for _, b := range d.Scores.Histogram {
		most = max(most, b.Rows)
	}
	for i, b := range d.Scores.Histogram {
		row := scoreRow{Rows: b.Rows, Width: width(float64(b.Rows) / float64(most))}
		row.Text = "up to " + strconv.FormatFloat(b.UpTo, 'f', -1, 64)
		if i == 0 {
			row.Text = "unchanged"
		}
		p.Histogram = append(p.Histogram, row)
	}
	return write(w, "diff.html.tmpl", p)
}

// diffPage is a difference with what its page shows in addition.
type diffPage struct {
	*Diff
	DescribeA, DescribeB, Significance string

	Tiles     []tile
	Columns   []int
	Matrix    []matrixRow
	Histogram []scoreRow
	Lists     []changeList
	Alone     []aloneList
}

type scoreRow struct {
	Text  string
	Rows  int
	Width float64
}

// ClassName returns the number of a class and, if it is known, its name.
func (p *diffPage) ClassName(number int) string { return p.class(number) }

func (p *diffPage) tile() {
	d := p.Diff
	p.Tiles = []tile{
		{"Rows in both", count(d.Both), ""},
		{"Changed class", count(d.Changed), percent(float64(d.Changed)/float64(max(1, d.Both))) + " of them"},
		{"Only in A", count(d.OnlyA.Rows), ""},
		{"Only in B", count(d.OnlyB.Rows), ""},
	}
	if l := d.Labels; l != nil {
		p.Tiles = append(p.Tiles, tile{
			"Accuracy of B", percent(l.AccuracyB),
			fmt.Sprintf("A: %s, %+.2f percentage points", percent(l.AccuracyA), 100*(l.AccuracyB-l.AccuracyA)),
		})
	}
}

// addMatrix lays out the transitions as a matrix, unless there are too many classes.
func (p *diffPage) addMatrix() {
	for _, t := range p.Transitions {
		p.Columns = append(p.Columns, t.From, t.To)
	}
	slices.Sort(p.Columns)
	p.Columns = slices.Compact(p.Columns)
	if len(p.Columns) > matrixClasses {
		p.Columns = nil
		return
	}
	most := 1
	rows := map[[2]int]int{}
	for _, t := range p.Transitions {
		rows[[2]int{t.From, t.To}] = t.Rows
		most = max(most, t.Rows)
	}
	for _, from := range p.Columns {
		row := matrixRow{Class: from, Name: p.Names[from]}
		for _, to := range p.Columns {
			n := rows[[2]int{from, to}]
			cell := newMatrixCell(n, float64(n)/float64(most))
			if n > 0 {
				cell.Title = fmt.Sprintf("%s in A, %s in B: %s", p.class(from), p.class(to), plural(n, "row"))
			}
			row.Cells = append(row.Cells, cell)
		}
		p.Matrix = append(p.Matrix, row)
	}
}
