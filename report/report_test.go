package report

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

var update = flag.Bool("update", false, "write testdata/report.html and report.json")

// checkPage parses a page and checks that every element is closed, that nothing is loaded or run, and that no control
// character is left in it.
func checkPage(t *testing.T, page []byte) {
	t.Helper()
	void := []string{"meta", "img", "br", "wbr"}
	var open []string
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Strict = false // attributes without values
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if slices.Contains([]string{"script", "link", "iframe", "object", "base", "form"}, name) {
				t.Errorf("found <%s>", name)
			}
			for _, a := range token.Attr {
				if key := a.Name.Local; strings.HasPrefix(key, "on") || key == "href" ||
					key == "src" && !strings.HasPrefix(a.Value, "data:image/png;base64,") {
					t.Errorf("<%s> has %s=%.40q", name, key, a.Value)
				}
			}
			if !slices.Contains(void, name) {
				open = append(open, name)
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				t.Fatalf("found </%s> within %v", token.Name.Local, open)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			text := string(token)
			for _, r := range text {
				if r < ' ' && r != '\n' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
					t.Errorf("found %U in %.60q", r, text)
				}
			}
			if strings.Contains(text, "url(") || strings.Contains(text, "@import") || strings.Contains(text, "%!") {
				t.Errorf("found %.60q", text)
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("%v are not closed", open)
	}
	if bytes.Contains(page, []byte("ZgotmplZ")) {
		t.Error("found a value that the template takes for dangerous")
	}
}

func pageOf(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.Bytes())
	return b.String()
}

func row(seq uint64, class int, score float32, label int32) *record.Classification {
	id := record.ID{Stream: "digits.h5-1a2b", Seq: seq}
	c := &record.Classification{
		EventID: id.String(), Stream: id.Stream, Seq: id.Seq, Class: class, Score: score,
		TopK: []record.Score{{Class: class, Score: score}, {Class: 7, Score: (1 - score) / 2}},
	}
	if label >= 0 {
		c.Label = &label
	}
	return c
}

// smallReport is a report in which every part of the page occurs.
func smallReport(t *testing.T) *Report {
	t.Helper()
	b := NewBuilder(Options{
		Title: "Results of digits", Model: record.Model{Name: "digits", Version: "5efabb59", Digest: "5efabb59d1"},
		Classes: []string{"zero", "1", ""}, Examples: 2,
	})
	for i := range uint64(24) {
		label := int32(i / 2 % 3)
		class := int(label)
		if i%4 == 1 {
			class = (class + 1) % 3
		}
		b.Add(row(i, class, 1-float32(i)/32, label))
	}
	b.Add(row(24, 1, .125, -1))
	b.Reject("digits.h5-1a2b/25", "row 25: found NaN at cell (1,2,3)")
	r := b.Report()
	err := r.Draw(t.Context(), func(_ context.Context, id record.ID) (voxelize.Volume, error) {
		if id.Seq == 24 {
			return voxelize.Volume{}, errors.New("row 24: the file has changed")
		}
		v := voxelize.Volume{Dims: [3]int{2, 2, 2}, Content: voxelize.PaletteContent("Oranges")}
		v.Index = make([]uint8, 8)
		v.Index[id.Seq%8] = 255
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	accuracy := .75
	r.Files = []File{
		{
			File: "digits.h5", Streams: []string{"digits.h5-1a2b"}, Status: Partial, Rows: 26, Classified: 25,
			Failed: 1, Accuracy: &accuracy, Error: "row 25: found NaN at cell (1,2,3)",
		},
		{File: "empty.h5", Status: Failed, Error: "byte 0: found no superblock, want an HDF5 file"},
		{File: "readme.txt", Status: Skipped, Notes: []string{"not an input format"}},
	}
	r.Input, r.Assumed = "raw values of 1 channel", []string{"The model does not say which values it takes."}
	r.Versions = []Version{{"voxelstream", "0.1.0"}, {"HDF5", "1.10.8"}}
	r.Run = &Run{Start: time.Unix(1.8e9, 0), Seconds: 93.4, Rows: 25, RowsPerSecond: 10704.4, Workers: 2}
	return r
}

// TestGolden compares with the files in testdata, which people have looked at. go test ./report -run Golden -update
// writes them.
func TestGolden(t *testing.T) {
	r := smallReport(t)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	css, err := assets.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Replace(pageOf(t, r), string(css), "(style.css)", 1)
	for name, got := range map[string]string{"report.html": body, "report.json": string(text) + "\n"} {
		if *update {
			if err := os.WriteFile("testdata/"+name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile("testdata/" + name); err != nil || got != string(want) {
			t.Errorf("testdata/%s differs (%v)", name, err)
		}
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again := pageOf(t, &back); again != pageOf(t, r) {
		t.Error("the page of the JSON is another one")
	}
}

// TestHostileNames: names, reasons and labels from files cannot change the page.
func TestHostileNames(t *testing.T) {
	evil := "<script>alert(1)</script>\n\u202ea.h5\x00\xff\" onerror=x {{.}}"
	b := NewBuilder(Options{
		Title: evil, Model: record.Model{Name: evil, Version: evil, Digest: evil}, Classes: []string{evil, evil},
	})
	c := row(1, 1, .5, 0)
	c.EventID, c.Name = evil, evil
	b.Add(c)
	b.Reject(evil, evil)
	r := b.Report()
	r.Files = []File{{File: evil, Status: Status(evil), Error: evil, Notes: []string{evil}}}
	r.Input, r.Assumed, r.Versions = evil, []string{evil}, []Version{{evil, evil}}
	r.LeastConfident[0].Note = evil
	text := pageOf(t, r)
	if n := strings.Count(text, `&lt;script&gt;alert(1)&lt;/script&gt;\u000a\u202ea.h5\u0000`); n < 12 {
		t.Errorf("found the name %d times", n)
	}
	d := compare(t, []record.Classification{*c}, nil)
	d.A.Name = evil
	var out bytes.Buffer
	if err := d.HTML(&out); err != nil {
		t.Fatal(err)
	}
	checkPage(t, out.Bytes())
}

// TestManyFiles: files that are done fold away, and those that are not stay in sight.
func TestManyFiles(t *testing.T) {
	r := NewBuilder(Options{Title: "t"}).Report()
	for i := range 1000 {
		f := File{File: fmt.Sprintf("f%d.h5", i), Status: Done, Rows: 1}
		if i == 500 {
			f.Status = Failed
		}
		r.Files = append(r.Files, f)
	}
	text := pageOf(t, r)
	before, folded, ok := strings.Cut(text, "<details><summary>The other 999 files</summary>")
	if !ok || !strings.Contains(before, "f500.h5") || strings.Contains(before, "f1.h5") ||
		strings.Count(folded, ".h5") != 999 || !strings.Contains(before, "1,000 files: 999 done, 1 failed.") {
		t.Error("the files are not split into failed and other ones")
	}
}

// TestManyClasses: a matrix of 1024 classes is not drawn, and classes above are counted.
func TestManyClasses(t *testing.T) {
	b := NewBuilder(Options{})
	for i := range 3000 {
		b.Add(row(uint64(i), i, .5, int32((i+1)%3000)))
	}
	b.Add(row(3001, -1, .5, 1<<30))
	r := b.Report()
	if len(r.Classes) != 1024 || r.OtherClasses != 1977 || r.Labelled.Outside != 1978 || r.Labelled.Rows != 3001 {
		t.Errorf("found %d classes, %d others, %d outside", len(r.Classes), r.OtherClasses, r.Labelled.Outside)
	}
	text := pageOf(t, r)
	if strings.Contains(text, "Confusion matrix") || !strings.Contains(text, "Most frequent mistakes of 3,001.") {
		t.Error("found a matrix, want a list")
	}
}

// TestBuilder compares with sums over all rows.
func TestBuilder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := NewBuilder(Options{Examples: 5})
	type scored struct {
		id    string
		score float32
		wrong bool
	}
	var all []scored
	right, hits, gaps := 0, 0, [10]float64{}
	for i := range uint64(5000) {
		label := int32(r.IntN(8))
		c := row(i, r.IntN(8), float32(r.IntN(100))/100, label)
		if i%10 == 0 {
			c.Class = int(label)
		}
		c.TopK[0].Class = c.Class
		b.Add(c)
		correct := c.Class == int(label)
		all = append(all, scored{c.EventID, c.Score, !correct})
		gap := &gaps[min(9, int(float64(c.Score)*10))]
		*gap += float64(c.Score)
		if correct {
			right++
			*gap--
		}
		if correct || label == 7 {
			hits++
		}
	}
	got := b.Report()
	ece := 0.0
	for _, g := range gaps {
		ece += math.Abs(g) / 5000
	}
	l := got.Labelled
	if got.Classified != 5000 || l.Rows != 5000 || l.Correct != right || l.Accuracy != float64(right)/5000 ||
		math.Abs(l.ECE-ece) > 1e-12 || l.K != 2 || *l.TopK != float64(hits)/5000 || len(l.Confusion) != 8 {
		t.Errorf("found %+v, want %d right, ECE %v, %d in the top 2", l, right, ece, hits)
	}
	sum, diagonal := 0, 0
	for i, counts := range l.Confusion {
		diagonal += counts[i]
		for _, n := range counts {
			sum += n
		}
	}
	bins := 0
	for _, bin := range got.Confidence {
		bins += bin.Rows
	}
	if sum != 5000 || diagonal != right || bins != 5000 {
		t.Errorf("found %d rows in the matrix, %d right, %d in the histogram", sum, diagonal, bins)
	}

	slices.SortStableFunc(all, func(x, y scored) int { return int(math.Round(float64(x.score-y.score) * 100)) })
	for i, x := range got.LeastConfident {
		if x.EventID != all[i].id {
			t.Errorf("least confident %d: found %s, want %s", i, x.EventID, all[i].id)
		}
	}
	all = slices.DeleteFunc(all, func(x scored) bool { return !x.wrong })
	slices.SortStableFunc(all, func(x, y scored) int { return int(math.Round(float64(y.score-x.score) * 100)) })
	for i, x := range got.ConfidentlyWrong {
		if want := (record.ID{Stream: "digits.h5-1a2b", Seq: x.ID.Seq}); x.ID != want || x.EventID != want.String() {
			t.Errorf("found the ID %v of %s", x.ID, x.EventID)
		}
		// The first of equal scores come first, whatever the sort of the test has made of them.
		if float32(x.Score) != all[i].score {
			t.Errorf("confidently wrong %d: found %v, want %v", i, x.Score, all[i].score)
		}
	}
	if len(got.LeastConfident) != 5 || len(got.ConfidentlyWrong) != 5 {
		t.Errorf("found %d and %d examples", len(got.LeastConfident), len(got.ConfidentlyWrong))
	}
	if !reflect.DeepEqual(b.Report(), got) {
		t.Error("a second report is another one")
	}
}

// TestStrangeScores: scores that are no probabilities can be written as JSON and drawn.
func TestStrangeScores(t *testing.T) {
	b := NewBuilder(Options{})
	for i, s := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 2} {
		b.Add(row(uint64(i), 0, float32(s), 1))
	}
	r := b.Report()
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	pageOf(t, r)
	pageOf(t, NewBuilder(Options{}).Report())
}

// TestPairs: rows in pairs are told from other rows, stream by stream.
func TestPairs(t *testing.T) {
	inPairs := func(i int) int32 { return int32(i / 2 * 7 % 10) }
	failing := func(i int) int32 {
		if i%9 == 4 {
			return -1
		}
		return inPairs(i)
	}
	for name, c := range map[string]struct {
		rows  int
		label func(i int) int32
		want  bool
	}{
		"pairs":           {40, inPairs, true},
		"failed rows":     {40, failing, true},
		"mismatched pair": {40, func(i int) int32 { return inPairs(i) + int32(i/7%2*i%2) }, false},
		"too few":         {18, inPairs, false},
		"one class":       {40, func(int) int32 { return 3 }, false},
		"sorted":          {400, func(i int) int32 { return int32(i / 40) }, false},
		"not in pairs":    {40, func(i int) int32 { return int32(i % 10) }, false},
	} {
		b := NewBuilder(Options{})
		for i := range c.rows {
			b.Add(row(uint64(i), int(inPairs(i))*(1-i%2), .5, c.label(i)))
		}
		for i := range 10 { // a stream without pairs
			x := row(uint64(i), 1, .5, 1)
			x.Stream = "other"
			b.Add(x)
		}
		l := b.Report().Labelled
		if got := l.Upright != nil; got != c.want {
			t.Errorf("%s: found pairs: %t, want %t", name, got, c.want)
		}
		if name == "pairs" && (*l.Upright != Share{20, 1} || *l.Rotated != Share{20, .1}) {
			t.Errorf("found %+v, %+v", l.Upright, l.Rotated)
		}
	}
}

// TestDrawCancelled: the error of Draw is that of its context.
func TestDrawCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := Report{LeastConfident: []Example{{}}}
	if err := r.Draw(ctx, func(ctx context.Context, _ record.ID) (voxelize.Volume, error) {
		return voxelize.Volume{}, ctx.Err()
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1000): "1,000", count(-1234567): "-1,234,567",
		percent(0): "0.0\u202f%", percent(1): "100.0\u202f%", percent(.99999): "99.999\u202f%",
		percent(1e-9):  "0.0000\u202f%",
		percent(.0004): "0.04\u202f%", percent(.5): "50.0\u202f%", plural(1, "row"): "1 row", duration(3725): "1h2m5s",
		show("a\tb\u200f\U000e0001"): `a\u0009b\u200f\U000e0001`, duration(2.5): "2.50 s",
	} {
		if got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, 1: 1, 1.5: 2, 2.2: 3, 23: 25, 251: 300, 801: 1000, 1e9: 1e9} {
		if got := niceStep(x); got != want {
			t.Errorf("%v: found the step %v, want %v", x, got, want)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	builder := NewBuilder(Options{})
	c := row(3, 4, .9, 5)
	for b.Loop() {
		c.Seq++
		builder.Add(c)
	}
}
