package report

import (
	"cmp"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/nn/train"
)

//go:embed style.css *.tmpl
var assets embed.FS

// pages are parsed when the first page is written, because most processes write none.
var pages = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"style": func() (template.CSS, error) {
			css, err := assets.ReadFile("style.css")
			return template.CSS(css), err //nolint:gosec // of this program
		},
		"image": func(png []byte) template.URL {
			text := base64.StdEncoding.EncodeToString(png)
			return template.URL("data:image/png;base64," + text) //nolint:gosec // a picture of this program
		},
		"show": show, "id": breakable, "count": count, "plural": plural, "percent": percent, "score": score, "class": class,
		"duration": duration, "rate": rate, "width": width, "status": Status.badge,
		"digits": func(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) },
		"change": func(a, b float64) string { return fmt.Sprintf("%+.3g", b-a) },
		"first":  func(n int, all []Transition) []Transition { return all[:min(n, len(all))] },
		"share": func(name string, s *Share) any {
			return struct {
				Name  string
				Share *Share
			}{name, s}
		},
	}).ParseFS(assets, "*.tmpl"))
})

// HTML writes the report as a self-contained page.
func (r *Report) HTML(w io.Writer) error {
	return write(w, "report.html.tmpl", newPage(r))
}

// write executes a template. Control characters in names are shown as escapes.
func write(w io.Writer, name string, data any) error {
	var b strings.Builder
	if err := pages().ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	_, err := io.WriteString(w, screen.Visible(b.String()))
	return err
}

const (
	// fewFiles is the number of files up to which none are folded away.
	fewFiles = 20
	// matrixClasses is the number of classes up to which the confusion matrix is shown.
	matrixClasses = 40
	// mostMistakes limits the list of frequent mistakes.
	mostMistakes = 10
)

// page is a report with what its page shows in addition.
type page struct {
	*Report
	Summary                       string
	Trouble                       []string
	Tiles                         []tile
	Files                         *fileLists
	Histogram, Reliability        *chart
	ClassCaption, RejectedCaption string
	ClassRows                     []classRow
	Named                         bool // some classes have names
	Marks                         bool // every row has a label, so that predicted and true rows can be compared
	Matrix                        []matrixRow
	Mistakes                      []mistake
	Wrong                         int
	Galleries                     []gallery
}

type tile struct{ Name, Value, Note string }

func newPage(r *Report) *page {
	p := &page{Report: r}
	p.summarize()
	p.listFiles()
	p.addClasses()
	p.Histogram = newHistogram(r.Confidence)
	if l := r.Labelled; l != nil {
		p.Wrong = l.Rows - l.Correct
		p.Reliability = newReliability(l.Calibration)
		p.addMistakes()
	}
	p.addGallery("Least confident", "The rows with the lowest scores, lowest first. The number at the right is the "+
		"score of the predicted class.", r.LeastConfident)
	p.addGallery("Most confidently wrong", "The misclassified rows with the highest scores, highest first. Look for "+
		"wrong labels here, and for what the model has not learned.", r.ConfidentlyWrong)
	p.RejectedCaption = plural(r.Failed, "row") + " could not be classified."
	if r.Failed > len(r.Rejected) {
		p.RejectedCaption += fmt.Sprintf(" These are the first %s.", count(len(r.Rejected)))
	}
	return p
}

// summarize says in words and in large numbers what matters most.
func (p *page) summarize() {
	r := p.Report
	from := ""
	used := 0
	for i := range r.Files {
		if r.Files[i].Classified > 0 {
			used++
		}
	}
	if used > 0 {
		from = " of " + plural(used, "file")
	}
	p.Summary = plural(r.Classified, "row") + from + " " + were(r.Classified) + " classified."
	rows := tile{"Classified", count(r.Classified), ""}
	if r.Rows > r.Classified {
		rows.Note = "of " + plural(r.Rows, "row")
	}
	p.Tiles = append(p.Tiles, rows)
	if l := r.Labelled; l != nil {
		p.Summary += fmt.Sprintf(" %s of the %s got the right class.", count(l.Correct), plural(l.Rows, "labelled row"))
		accuracy := tile{"Accuracy", percent(l.Accuracy), ""}
		if l.Rows < r.Classified {
			accuracy.Note = "on " + plural(l.Rows, "labelled row")
		}
		p.Tiles = append(p.Tiles, accuracy)
		if l.TopK != nil {
			p.Tiles = append(p.Tiles, tile{fmt.Sprintf("Top-%d accuracy", l.K), percent(*l.TopK), ""})
		}
		p.Tiles = append(p.Tiles, tile{"Macro F1", score(l.MacroF1), ""})
		if l.AUC != nil {
			p.Tiles = append(p.Tiles, tile{"AUC", score(*l.AUC), ""})
		}
		if l.Loss != nil {
			p.Tiles = append(p.Tiles, tile{"Loss", score(*l.Loss), ""})
		}
		calibration := tile{"Calibration error", score(l.ECE), ""}
		if l.Uncalibrated != nil {
			calibration.Note = score(*l.Uncalibrated) + " without calibration"
		}
		p.Tiles = append(p.Tiles, calibration)
	} else if r.Classified > 0 {
		p.Tiles = append(p.Tiles, tile{"Mean score", score(r.MeanScore), ""})
	}
	if r.Unfamiliar != nil {
		p.Tiles = append(p.Tiles, tile{"Unfamiliar rows", count(*r.Unfamiliar), "unlike the training data"})
	}
	if len(r.Files) > 1 {
		p.Tiles = append(p.Tiles, tile{"Files", count(len(r.Files)), ""})
	}
	if r.Failed > 0 {
		p.Tiles = append(p.Tiles, tile{"Failed rows", count(r.Failed), ""})
	}
	failed := map[Status]int{}
	for i := range r.Files {
		failed[r.Files[i].Status]++
	}
	if n := failed[Failed]; n > 0 {
		p.Trouble = append(p.Trouble, plural(n, "file")+" could not be used.")
	}
	if n := failed[Partial]; n > 0 {
		p.Trouble = append(p.Trouble, plural(n, "file")+" "+were(n)+" used in part.")
	}
	if r.Failed > 0 {
		p.Trouble = append(p.Trouble, plural(r.Failed, "row")+" could not be classified.")
	}
	if r.Skipped > 0 {
		p.Trouble = append(p.Trouble, plural(r.Skipped, "row")+" "+were(r.Skipped)+" left out.")
	}
	if len(r.Assumed) > 0 {
		p.Trouble = append(p.Trouble, "Something about the input was assumed: see Model and input.")
	}
}

// fileLists splits the files: those that need attention come first, and the others are folded away if they are many.
type fileLists struct {
	Caption, FoldedTitle    string
	Attention, Rest, Folded *fileTable
}

type fileTable struct {
	Rows []File
	// Accuracy and Seconds report whether any file has them.
	Accuracy, Seconds bool
}

func newFileTable(files []File) *fileTable {
	if len(files) == 0 {
		return nil
	}
	return &fileTable{
		Rows:     files,
		Accuracy: slices.ContainsFunc(files, func(f File) bool { return f.Accuracy != nil }),
		Seconds:  slices.ContainsFunc(files, func(f File) bool { return f.Seconds > 0 }),
	}
}

func (p *page) listFiles() {
	if len(p.Report.Files) == 0 {
		return
	}
	l := &fileLists{}
	counts := map[Status]int{}
	var attention, rest []File
	for _, f := range p.Report.Files {
		counts[f.Status]++
		if f.Status == Failed || f.Status == Partial {
			attention = append(attention, f)
		} else {
			rest = append(rest, f)
		}
	}
	slices.SortStableFunc(attention, func(a, b File) int { return cmp.Compare(a.Status, b.Status) })
	var parts []string
	for _, s := range []Status{Done, Resumed, Repeated, Skipped, Partial, Failed} {
		if counts[s] > 0 {
			parts = append(parts, count(counts[s])+" "+string(s))
		}
	}
	if len(p.Report.Files) > 1 {
		l.Caption = plural(len(p.Report.Files), "file") + ": " + strings.Join(parts, ", ") + "."
	}
	if len(rest) > fewFiles {
		l.Attention = newFileTable(attention)
		l.Folded = newFileTable(rest)
		l.FoldedTitle = "All " + plural(len(rest), "file")
		if len(attention) > 0 {
			l.FoldedTitle = "The other " + plural(len(rest), "file")
		}
	} else {
		l.Rest = newFileTable(append(attention, rest...))
	}
	p.Files = l
}

type classRow struct {
	Class, Rows        int
	Name               string
	Share, Width, Mark float64
	Score              *train.ClassScore
}

func (p *page) addClasses() {
	r, most := p.Report, 1
	p.Marks = r.Labelled != nil && r.Labelled.Rows == r.Classified
	for i, c := range r.Classes {
		most = max(most, c.Rows)
		if p.Marks {
			most = max(most, r.Labelled.PerClass[i].Rows)
		}
		p.Named = p.Named || c.Name != ""
	}
	for i, c := range r.Classes {
		row := classRow{
			Class: c.Class, Rows: c.Rows, Name: c.Name,
			Share: float64(c.Rows) / float64(max(1, r.Classified)), Width: width(float64(c.Rows) / float64(most)),
		}
		if l := r.Labelled; l != nil {
			row.Score = &l.PerClass[i]
			row.Mark = width(float64(row.Score.Rows) / float64(most))
		}
		p.ClassRows = append(p.ClassRows, row)
	}
	p.ClassCaption = "How often each class was predicted."
	if p.Marks {
		p.ClassCaption += " The line across each bar marks the number of rows that are truly of the class."
	}
	if r.Labelled != nil {
		p.ClassCaption += " Precision is the share of the predicted rows that are right, recall the share of the " +
			"true rows that were found, and F1 their harmonic mean."
		if r.Labelled.AUC != nil {
			p.ClassCaption += " AUC is the chance that a row of the class scores higher for it than another row."
		}
	}
	if r.OtherClasses > 0 {
		p.ClassCaption += fmt.Sprintf(" %s of classes numbered %d and above are not listed.",
			plural(r.OtherClasses, "row"), maxClasses)
	}
}

type matrixRow struct {
	Class int
	Name  string
	Cells []matrixCell
}

type matrixCell struct {
	Rows        int
	Share       float64 // strength of the colour, rounded
	Kind, Title string
}

// newMatrixCell returns a cell of some rows in a colour of some strength, from 0 to 1. Its kind decides the colour of
// its text.
func newMatrixCell(rows int, strength float64) matrixCell {
	c := matrixCell{Rows: rows, Share: math.Round(strength*1000) / 1000}
	switch {
	case rows == 0:
		c.Kind = "none"
	case strength > 0.8:
		c.Kind = "strong"
	case strength > 0.55:
		c.Kind = "medium"
	}
	return c
}

// mistake counts rows of one class that were taken for another.
type mistake struct {
	True, Predicted string
	Rows            int
	Share           float64
}

func (p *page) addMistakes() {
	l := p.Labelled
	for i, counts := range l.Confusion {
		of := &l.PerClass[i]
		truth := class(of.Class, of.Name)
		row := matrixRow{Class: of.Class, Name: of.Name}
		for j, n := range counts {
			predicted := class(l.PerClass[j].Class, l.PerClass[j].Name)
			share := float64(n) / float64(max(1, of.Rows))
			if n > 0 && i != j {
				p.Mistakes = append(p.Mistakes, mistake{truth, predicted, n, share})
			}
			cell := newMatrixCell(n, share)
			if i == j {
				cell.Kind = strings.TrimSpace(cell.Kind + " hit")
			}
			if n > 0 {
				cell.Title = fmt.Sprintf("true %s, predicted %s: %s, %s of the true class", truth, predicted,
					plural(n, "row"), percent(share))
			}
			row.Cells = append(row.Cells, cell)
		}
		p.Matrix = append(p.Matrix, row)
	}
	slices.SortStableFunc(p.Mistakes, func(a, b mistake) int { return cmp.Compare(b.Rows, a.Rows) })
	p.Mistakes = p.Mistakes[:min(len(p.Mistakes), mostMistakes)]
	if len(p.Matrix) > matrixClasses {
		p.Matrix = nil
	}
}

type gallery struct {
	Title, Caption string
	Rows           []galleryRow
}

type galleryRow struct {
	Example
	Right bool
	True  int
}

// addGallery adds a gallery, unless it is empty.
func (p *page) addGallery(title, caption string, examples []Example) {
	if len(examples) == 0 {
		return
	}
	g := gallery{Title: title, Caption: caption}
	for _, x := range examples {
		row := galleryRow{Example: x}
		if x.Label != nil {
			row.True, row.Right = *x.Label, *x.Label == x.Class
		}
		g.Rows = append(g.Rows, row)
	}
	p.Galleries = append(p.Galleries, g)
}

// chart is a bar chart in a box of 420x220 units, with the origin of its axes at (50, 180) and their ends at 410 and
// 20.
type chart struct {
	Label       string
	Ideal       bool // with a diagonal
	Grid, Ticks []mark
	Bars        []bar
}

type mark struct {
	At   float64
	Text string
}

type bar struct {
	Title string
	Parts []rect
}

type rect struct {
	Kind       string
	X, Y, W, H float64
}

const chartLeft, chartWidth, chartBottom, chartHeight = 50, 360, 180, 160

// newChart returns a chart of scores, from 0 to 1, with its y axis from 0 to top.
func newChart(label string, top float64, text func(float64) string) *chart {
	c := &chart{Label: label}
	for i := range 5 {
		share := float64(i) / 4
		c.Grid = append(c.Grid, mark{chartBottom - share*chartHeight, text(share * top)})
	}
	for i := range 6 {
		share := float64(i) / 5
		c.Ticks = append(c.Ticks, mark{chartLeft + share*chartWidth, strconv.FormatFloat(share, 'g', 2, 64)})
	}
	return c
}

// rect returns a rectangle over a bin, from low to high as shares of the y axis.
func (b *Bin) rect(kind string, low, high float64) rect {
	round := func(x float64) float64 { return math.Round(x*100) / 100 }
	return rect{
		Kind: kind, X: round(chartLeft + b.Low*chartWidth + 1), W: round((b.High-b.Low)*chartWidth - 2),
		Y: round(chartBottom - high*chartHeight), H: round((high - low) * chartHeight),
	}
}

func newHistogram(bins []Bin) *chart {
	most := 1
	for _, b := range bins {
		most = max(most, b.Rows)
	}
	top := 4 * niceStep(float64(most)/4)
	c := newChart("Histogram of scores", top, func(x float64) string { return count(int(x)) })
	for _, b := range bins {
		if b.Rows == 0 {
			continue
		}
		one := bar{Title: fmt.Sprintf("score %.2f to %.2f: %s", b.Low, b.High, plural(b.Rows, "row"))}
		if b.Labelled > 0 {
			one.Title += fmt.Sprintf(", %s right, %s wrong", count(b.Correct), count(b.Labelled-b.Correct))
		}
		low := 0.0
		for _, part := range []struct {
			kind string
			rows int
		}{{"right", b.Correct}, {"wrong", b.Labelled - b.Correct}, {"unknown", b.Rows - b.Labelled}} {
			if part.rows > 0 {
				high := low + float64(part.rows)/top
				one.Parts = append(one.Parts, b.rect(part.kind, low, high))
				low = high
			}
		}
		c.Bars = append(c.Bars, one)
	}
	return c
}

func newReliability(bins []Bin) *chart {
	c := newChart("Reliability diagram", 1, func(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) })
	c.Ideal = true
	for _, b := range bins {
		if b.Rows == 0 {
			continue
		}
		accuracy := float64(b.Correct) / float64(b.Rows)
		c.Bars = append(c.Bars, bar{
			Title: fmt.Sprintf("score %.1f to %.1f: %s, mean score %s, %s right", b.Low, b.High, plural(b.Rows, "row"),
				score(b.Confidence), percent(accuracy)),
			Parts: []rect{
				b.rect("right", 0, accuracy),
				b.rect("gap", min(accuracy, b.Confidence), max(accuracy, b.Confidence)),
			},
		})
	}
	return c
}

// niceStep returns the smallest whole number with few digits that is at least x.
func niceStep(x float64) float64 {
	for power := 1.0; ; power *= 10 {
		for _, n := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8} {
			if step := n * power; step >= x && step == math.Trunc(step) {
				return step
			}
		}
	}
}

// show returns text for people: control characters, among them those that change the direction of writing, become
// visible escapes.
func show(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == unicode.ReplacementChar, unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// breakable returns an event ID whose lines may end after a colon or slash.
func breakable(eventID string) template.HTML {
	return template.HTML(strings.NewReplacer(":", ":<wbr>", "/", "/<wbr>").Replace( //nolint:gosec // the text is escaped
		template.HTMLEscapeString(show(eventID))))
}

// count formats a number with commas.
func count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// percent formats a share with one digit, and with up to four if it would look like 0 % or 100 % otherwise.
func percent(share float64) string {
	for digits := 1; ; digits++ {
		text := strconv.FormatFloat(100*share, 'f', digits, 64)
		extreme := strings.Trim(text, "0.") == "" && share > 0 || strings.HasPrefix(text, "100") && share < 1
		if !extreme || digits == 4 {
			return text + "\u202f%"
		}
	}
}

// score formats a number between 0 and 1.
func score(x float64) string { return strconv.FormatFloat(x, 'f', 3, 64) }

// width is a share in percent, rounded.
func width(share float64) float64 { return math.Round(10000*share) / 100 }

// class formats a class and its name.
func class(number int, name string) string {
	if name == "" {
		return strconv.Itoa(number)
	}
	return strconv.Itoa(number) + "\u00a0" + show(name)
}

// duration formats a time of any length.
func duration(seconds float64) string {
	switch {
	case seconds < 10:
		return fmt.Sprintf("%.2f s", seconds)
	case seconds < 60:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return time.Duration(math.Round(seconds) * float64(time.Second)).String()
}

// rate formats rows per second.
func rate(rows float64) string {
	return count(int(math.Round(rows))) + " rows/s"
}

// badge is the status with a sign, so that it does not depend on colour alone.
func (s Status) badge() template.HTML {
	sign, kind := "–", ""
	switch s {
	case Done:
		sign, kind = "✓", "good"
	case Resumed:
		sign, kind = "↻", "good"
	case Repeated:
		sign = "="
	case Partial:
		sign, kind = "!", "bad"
	case Failed:
		sign, kind = "✕", "bad"
	}
	return template.HTML(fmt.Sprintf(`<span class="%s">%s %s</span>`, kind, sign, //nolint:gosec // the text is escaped
		template.HTMLEscapeString(show(string(s)))))
}
