package main

import (
	"fmt"
	"slices"
	"strings"
)

// tables returns the tables of the page.
func tables(all []result) string {
	var b strings.Builder
	b.WriteString("| way | parameters | minutes | accuracy | upright | rotated |\n|---|---|---|---|---|---|\n")
	for _, w := range ways {
		rs := of(all, w.name, held)
		if len(rs) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s |\n", w.what, rs[0].Parameters,
			span(rs, func(r result) float64 { return r.Minutes }, "%.1f"), percent(rs, accuracy), percent(rs, upright),
			percent(rs, rotated))
	}
	for _, w := range ways {
		rs := of(all, w.name, test)
		if !w.final || len(rs) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s on the %d test rows:\n\n| seed | accuracy | upright | rotated | calibration error |\n"+
			"|---|---|---|---|---|\n", strings.ToUpper(w.what[:1])+w.what[1:], rs[0].Rows)
		for _, r := range rs {
			fmt.Fprintf(&b, "| %d | %.2f | %.2f | %.2f | %.3f |\n", r.Seed, 100*r.Accuracy, 100*r.Upright.Accuracy,
				100*r.Rotated.Accuracy, r.ECE)
		}
		if len(rs) > 1 {
			writeMean(&b, rs)
		}
		b.WriteString(details(rs))
	}
	return b.String()
}

// writeMean writes the last row of the table by seed.
func writeMean(b *strings.Builder, rs []result) {
	ece := func(r result) float64 { return r.ECE }
	fmt.Fprintf(b, "| mean (range) | %s | %s | %s | %s |\n", percent(rs, accuracy), percent(rs, upright),
		percent(rs, rotated), span(rs, ece, "%.3f"))
}

// details returns the tables by tilt, by class and of confusions, over all seeds.
func details(rs []result) string {
	var b strings.Builder
	b.WriteString("\n| tilt of the vertical, degrees | rows | accuracy |\n|---|---|---|\n")
	for k := range rs[0].Tilts {
		rows, right := 0, 0.
		for _, r := range rs {
			rows += r.Tilts[k].Rows
			right += r.Tilts[k].Accuracy * float64(r.Tilts[k].Rows)
		}
		fmt.Fprintf(&b, "| %d to %d | %d | %.1f |\n", k*180/ranges, (k+1)*180/ranges, rows/len(rs), 100*right/float64(rows))
	}
	classes := len(rs[0].Confusion)
	sum := make([][]int, classes)
	for class := range sum {
		sum[class] = make([]int, classes)
		for _, r := range rs {
			for as, n := range r.Confusion[class] {
				sum[class][as] += n
			}
		}
	}
	b.WriteString("\n| digit | recall | precision | most often taken for |\n|---|---|---|---|\n")
	for class, row := range sum {
		rows, found := 0, 0
		for as, n := range row {
			rows += n
			found += sum[as][class]
		}
		right := row[class]
		others := slices.Clone(row)
		others[class] = 0
		most := slices.Index(others, slices.Max(others))
		fmt.Fprintf(&b, "| %d | %.1f | %.1f | %d (%.1f %%) |\n", class, 100*float64(right)/float64(rows),
			100*float64(right)/float64(found), most, 100*float64(others[most])/float64(rows))
	}
	return b.String()
}

func accuracy(r result) float64 { return r.Accuracy }
func upright(r result) float64  { return r.Upright.Accuracy }
func rotated(r result) float64  { return r.Rotated.Accuracy }

// of returns the results of a way on some data.
func of(all []result, way, data string) (out []result) {
	for _, r := range all {
		if r.Way == way && r.Data == data {
			out = append(out, r)
		}
	}
	return out
}

func percent(rs []result, f func(result) float64) string {
	return span(rs, func(r result) float64 { return 100 * f(r) }, "%.2f")
}

// span writes the mean of some figures, and their range if there are several.
func span(rs []result, f func(result) float64, format string) string {
	var all []float64
	sum := 0.
	for _, r := range rs {
		all = append(all, f(r))
		sum += f(r)
	}
	text := fmt.Sprintf(format, sum/float64(len(all)))
	if len(all) > 1 {
		text += fmt.Sprintf(" ("+format+"-"+format+")", slices.Min(all), slices.Max(all))
	}
	return text
}
