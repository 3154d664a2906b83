package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
)

// sequence yields rows, then err if it is not nil.
func sequence(rows []record.Classification, err error) iter.Seq2[record.Classification, error] {
	return func(yield func(record.Classification, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(record.Classification{}, err)
		}
	}
}

func compare(t testing.TB, a, b []record.Classification) *Diff {
	t.Helper()
	d, err := Compare(sequence(a, nil), sequence(b, nil))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// result returns rows of two streams with three classes and labels on most rows.
func result(n int, seed uint64) []record.Classification {
	r := rand.New(rand.NewPCG(seed, 1))
	rows := make([]record.Classification, n)
	for i := range rows {
		id := record.ID{Stream: fmt.Sprint("s", i*2/n), Seq: uint64(i)}
		rows[i] = record.Classification{
			EventID: id.String(), Stream: id.Stream, Seq: id.Seq, Class: r.IntN(3), Score: float32(r.Float64()),
			Model: record.Model{Name: "m", Version: "1", Digest: "d"},
		}
		if i%5 > 0 {
			label := int32(i % 3)
			rows[i].Label = &label
		}
	}
	return rows
}

// altered returns a copy of which every third row has other scores or another class, without the rows that are left
// out.
func altered(rows []record.Classification, seed uint64, without func(i int) bool) (out []record.Classification) {
	r := rand.New(rand.NewPCG(seed, 2))
	for i, row := range rows {
		if without(i) {
			continue
		}
		if i%3 == 0 {
			row.Class, row.Score = r.IntN(3), float32(r.Float64())
		}
		row.Model.Digest = "other"
		out = append(out, row)
	}
	return out
}

// naive computes the numbers of a difference from maps of all rows.
func naive(a, b []record.Classification) (d Diff) {
	of := map[string]record.Classification{}
	for _, r := range a {
		of[r.EventID] = r
	}
	l := &LabelChange{}
	for _, y := range b {
		x, ok := of[y.EventID]
		if !ok {
			d.OnlyB.Rows++
			continue
		}
		d.Both++
		delete(of, y.EventID)
		if x.Label != nil {
			l.Rows++
			switch label := int(*x.Label); {
			case x.Class == label && y.Class == label:
				l.BothRight++
			case y.Class == label:
				l.BecameRight++
			case x.Class == label:
				l.BecameWrong++
			default:
				l.BothWrong++
			}
		}
		if x.Class != y.Class {
			d.Changed++
			continue
		}
		d.Scores.Rows++
		if x.Score != y.Score {
			d.Scores.Changed++
		}
		d.Scores.Max = max(d.Scores.Max, math.Abs(float64(x.Score)-float64(y.Score)))
	}
	d.OnlyA.Rows = len(of)
	d.Labels = l
	return d
}

// TestCompare compares with maps of all rows, for results in the same order, with gaps, and shuffled.
func TestCompare(t *testing.T) {
	a := result(1000, 1)
	for name, without := range map[string]func(int) bool{
		"all": func(int) bool { return false }, "gaps": func(i int) bool { return i%7 == 3 },
		"first half": func(i int) bool { return i >= 500 }, "nothing": func(int) bool { return true },
	} {
		b := altered(a, 3, without)
		want := naive(a, b)
		got := compare(t, a, b)
		sum := 0
		for _, x := range got.Transitions {
			sum += x.Rows
		}
		if got.Both != want.Both || got.OnlyA.Rows != want.OnlyA.Rows || got.OnlyB.Rows != want.OnlyB.Rows ||
			got.Changed != want.Changed || got.Scores.Rows != want.Scores.Rows || got.Identical ||
			got.Scores.Changed != want.Scores.Changed || got.Scores.Max != want.Scores.Max || sum != want.Changed {
			t.Errorf("%s: found %+v, want %+v", name, got, want)
		}
		if l := got.Labels; l == nil && want.Labels.Rows > 0 || l != nil && (l.Rows != want.Labels.Rows ||
			l.BecameRight != want.Labels.BecameRight || l.BecameWrong != want.Labels.BecameWrong ||
			l.BothRight != want.Labels.BothRight || l.BothWrong != want.Labels.BothWrong) {
			t.Errorf("%s: found %+v, want %+v", name, l, want.Labels)
		}
		if n := len(got.OnlyA.List); n != min(want.OnlyA.Rows, listedAlone) {
			t.Errorf("%s: found %d rows listed only in A", name, n)
		}

		// Another order gives the same lists and numbers, but for rounding.
		shuffled := slices.Clone(b)
		for i, j := range rand.New(rand.NewPCG(1, 1)).Perm(len(b)) {
			shuffled[i] = b[j]
		}
		again := compare(t, a, shuffled)
		if math.Abs(again.Scores.Mean-got.Scores.Mean) > 1e-12 {
			t.Errorf("%s: found the mean change %v, want %v", name, again.Scores.Mean, got.Scores.Mean)
		}
		again.Scores.Mean = got.Scores.Mean
		if !reflect.DeepEqual(again, got) {
			t.Errorf("%s: shuffled, found\n%+v, want\n%+v", name, again, got)
		}
		// The other way round, what became right became wrong.
		back := compare(t, b, a)
		if back.OnlyA.Rows != got.OnlyB.Rows || back.Changed != got.Changed ||
			got.Labels != nil && back.Labels.BecameRight != got.Labels.BecameWrong {
			t.Errorf("%s: B to A: found %+v", name, back)
		}
	}
}

func TestCompareIdentical(t *testing.T) {
	a := result(100, 1)
	if d := compare(t, a, slices.Clone(a)); !d.Identical || d.Both != 100 || d.Labels.P != 1 {
		t.Errorf("found %+v", d)
	}
	for name, change := range map[string]func(r *record.Classification){
		"class": func(r *record.Classification) { r.Class++ },
		"score": func(r *record.Classification) { r.Score = math.Nextafter32(r.Score, 2) },
		"label": func(r *record.Classification) { r.Label = nil },
		"id":    func(r *record.Classification) { r.EventID = "s/77777" },
	} {
		b := slices.Clone(a)
		change(&b[57])
		if d := compare(t, a, b); d.Identical {
			t.Errorf("another %s: the results are called identical", name)
		}
	}
	if d := compare(t, a, a[:99]); d.Identical || !slices.Equal(d.OnlyA.List, []string{"s1/99"}) {
		t.Errorf("found %+v", d.OnlyA)
	}
}

// TestCompareLists: the lists begin with the largest changes.
func TestCompareLists(t *testing.T) {
	row := func(id string, class int, score float32, label int32) record.Classification {
		return record.Classification{
			EventID: id, Class: class, Score: score, Label: &label, Name: fmt.Sprint("c", class),
		}
	}
	a := []record.Classification{
		row("s/1", 0, .5, 0), row("s/2", 0, .75, 0), row("s/3", 1, .5, 1), row("not an id", 1, .5, 0),
		row("s/5#2~3", 1, .25, 1),
	}
	b := []record.Classification{
		row("s/1", 1, .5, 0), row("s/2", 1, 1, 0), row("s/3", 1, .25, 1), row("not an id", 0, .5, 0),
		row("s/5#2~3", 1, .75, 1), row("also none", 1, 1, 1), row("s/7#1", 1, 1, 1),
	}
	d := compare(t, a, b)
	ids := func(list []Change) (ids []string) {
		for _, x := range list {
			ids = append(ids, x.EventID)
		}
		return ids
	}
	for _, c := range []struct{ got, want []string }{
		{ids(d.ClassChanges), []string{"s/2", "not an id", "s/1"}},
		{ids(d.ScoreChanges), []string{"s/5#2~3", "s/3"}},
		{ids(d.Labels.BecameWrongRows), []string{"s/2", "s/1"}},
		{ids(d.Labels.BecameRightRows), []string{"not an id"}},
		{d.OnlyB.List, []string{"also none", "s/7#1"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("found %q, want %q", c.got, c.want)
		}
	}
	if want := []Transition{{0, 1, 2}, {1, 0, 1}}; !slices.Equal(d.Transitions, want) {
		t.Errorf("found %v, want %v", d.Transitions, want)
	}
	if d.Scores.Max != .5 || d.Scores.Mean != .375 || d.Labels.AccuracyA != .8 || d.Labels.AccuracyB != .6 {
		t.Errorf("found %+v, %+v", d.Scores, d.Labels)
	}
	d.A.Name, d.B.Name = "a.csv", "b\u202e.csv"
	var text bytes.Buffer
	if err := d.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`b\u202e.csv: 7 rows`, "5 rows in both results, 0 only in A, 2 only in B.\n",
		"3 of the 5 rows in both changed class (60.0 %).",
		"Accuracy on the 5 labelled rows in both: 80.0 % in A, 60.0 % in B.\n",
		"1 row became right, 2 became wrong (McNemar's test: p = 1).",
		"1 c1  0 c0  1\n", "s/7#1\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
	var page bytes.Buffer
	if err := d.HTML(&page); err != nil {
		t.Fatal(err)
	}
	checkPage(t, page.Bytes())
	if b, err := json.Marshal(d); err != nil || !bytes.Contains(b, []byte(`"class_changed":3`)) {
		t.Errorf("found %s, %v", b, err)
	}
}

func TestCompareErrors(t *testing.T) {
	bad := errors.New("damaged")
	rows := result(10, 1)
	if _, err := Compare(sequence(rows, bad), sequence(rows, nil)); !errors.Is(err, bad) {
		t.Errorf("found %v", err)
	}
	if _, err := Compare(sequence(rows, nil), sequence(rows[:3], bad)); !errors.Is(err, bad) {
		t.Errorf("found %v", err)
	}
	r := &blocks{rows: rows, err: bad}
	if _, err := Compare(Rows(r), sequence(rows, nil)); !errors.Is(err, bad) {
		t.Errorf("found %v", err)
	}
}

// blocks reads three rows at a time, and returns err with the last ones.
type blocks struct {
	rows []record.Classification
	err  error
}

func (b *blocks) Read(dst []record.Classification) (int, error) {
	n := copy(dst[:min(3, len(dst))], b.rows)
	b.rows = b.rows[n:]
	if len(b.rows) == 0 {
		return n, b.err
	}
	return n, nil
}

// TestMcNemar compares with sums of exact binomial coefficients.
func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		m, n int
		want float64
	}{
		{0, 0, 1}, {5, 5, 1}, {0, 1, 1}, {0, 5, 2.0 / 32}, {9, 1, 22.0 / 1024}, {1, 9, 22.0 / 1024}, {2, 6, 74.0 / 256},
	} {
		if got := mcNemar(c.m, c.n); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%d and %d: found %v, want %v", c.m, c.n, got, c.want)
		}
	}
	// The normal distribution is close for large numbers: 1,000,000 rows, three standard deviations from the middle.
	if got, want := mcNemar(501500, 498500), math.Erfc(3/math.Sqrt2); math.Abs(got/want-1) > 0.01 {
		t.Errorf("found %v, want %v", got, want)
	}
}

// TestCompareMemory compares results in opposite orders, so that every row waits.
func TestCompareMemory(t *testing.T) {
	const n = 200_000
	row := func(i int) record.Classification {
		id := record.ID{Stream: "stream-0123456789", Seq: uint64(i)}
		return record.Classification{EventID: id.String(), Stream: id.Stream, Seq: id.Seq, Score: 1}
	}
	var used, before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	a := func(yield func(record.Classification, error) bool) {
		for i := range n {
			if !yield(row(i), nil) {
				return
			}
		}
	}
	b := func(yield func(record.Classification, error) bool) {
		for i := range n {
			if i == n/2 { // half of the rows of both wait now
				runtime.GC()
				runtime.ReadMemStats(&used)
			}
			if !yield(row(n-1-i), nil) {
				return
			}
		}
	}
	d, err := Compare(a, b)
	if err != nil || !d.Identical || d.Both != n {
		t.Fatalf("found %+v, %v", d, err)
	}
	if per := float64(used.HeapAlloc-before.HeapAlloc) / n; per > 64 {
		t.Errorf("found %.0f bytes for each waiting row, want about 40", per)
	} else {
		t.Logf("%.0f bytes for each waiting row", per)
	}
}

func BenchmarkCompare(b *testing.B) {
	rows := result(1_000_000, 1)
	for name, other := range map[string][]record.Classification{
		"same order": rows, "one row missing": append(rows[:10:10], rows[11:]...),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if d := compare(b, rows, other); d.Both != len(other) {
					b.Fatal(d.Both)
				}
			}
		})
	}
}
