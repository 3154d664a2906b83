package parity

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

var update = flag.Bool("update", false, "write docs/reference/parity.md")

// report prints what was compared and how far apart the sides are, and with -update writes it to the reference page.
func (c *comparison) report(t *testing.T) {
	var b strings.Builder
	trained, tied := 0, 0
	for _, e := range c.manifest.Models {
		if e.Trained {
			trained++
		}
		if e.Tied {
			tied++
		}
	}
	fmt.Fprintf(&b, "%d random models of Keras %s on TensorFlow %s. "+
		"%d of them are trained for %d steps of Adam on both sides. The others have nothing\n"+
		"to train, draw random numbers, or have a result that rounding decides. "+
		"In %d models, a window has two equal maxima, and TensorFlow\n"+
		"on a CPU gives the whole gradient to each of them.\n\n",
		len(c.manifest.Models), c.manifest.Keras, c.manifest.TensorFlow, trained, c.manifest.Steps, tied)
	c.table(&b)
	var layers []labeled
	for _, e := range c.manifest.Models {
		layers = append(layers, e.Layers...)
	}
	coverage(&b, layers)
	fmt.Println(b.String())
	if *update && !t.Failed() {
		writeSection(t, "keras", b.String())
	}
}

// table writes how far apart the sides are.
func (c *comparison) table(b *strings.Builder) {
	b.WriteString("| Compared | arrays | median | 99% below | largest |\n|---|---|---|---|---|\n")
	for _, kind := range []string{"predictions", "predictions without passes", "loss", "gradients", "weights", "way back"} {
		if d := slices.Sorted(slices.Values(c.worst[kind])); len(d) > 0 {
			fmt.Fprintf(b, "| %s | %d | %.1e | %.1e | %.1e |\n", kind, len(d), d[len(d)/2], d[len(d)*99/100], d[len(d)-1])
		}
	}
}

// labeled is a layer of a random model: its class, and the options that were set.
type labeled struct {
	Class   string   `json:"class"`
	Options []string `json:"options"`
}

// coverage writes how often each layer occurred, and each of its options.
func coverage(b *strings.Builder, layers []labeled) {
	counts, options := map[string]int{}, map[string]map[string]int{}
	for _, l := range layers {
		counts[l.Class]++
		if options[l.Class] == nil {
			options[l.Class] = map[string]int{}
		}
		for _, o := range l.Options {
			options[l.Class][o]++
		}
	}
	var table strings.Builder
	table.WriteString("| Layer | times | with options |\n|---|---|---|\n")
	for _, class := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&table, "| %s | %d | %s |\n", class, counts[class], listed(options[class]))
	}
	b.WriteString(folded("Layers of these models, and their options", table.String()))
}

// folded is Markdown that the reader opens by its title.
func folded(title, text string) string {
	return "\n<details>\n<summary>" + title + "</summary>\n\n" + text + "\n</details>\n"
}

// writeSection puts text between the marks of that name on the reference page, and updates its summary.
func writeSection(t *testing.T, name, text string) {
	t.Helper()
	page := replaceSection(t, parityPage(t), name, text)
	page = replaceSection(t, page, "summary", summarize(t, page))
	if err := os.WriteFile(parityPath, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

var parityPath = filepath.Join(testenv.Root(), "docs", "reference", "parity.md")

func parityPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(parityPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// section returns what is before, between and after the marks of a name.
func section(t *testing.T, page, name string) (before, text, after string) {
	t.Helper()
	start, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(page, start)
	text, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s: no section %s", parityPath, name)
	}
	return before + start, text, end + after
}

func replaceSection(t *testing.T, page, name, text string) string {
	t.Helper()
	before, _, after := section(t, page, name)
	return before + text + after
}

// summarize makes the table of the largest differences from the sections of the page.
func summarize(t *testing.T, page string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| Compared with | models | predictions | gradients | weights after training |\n|---|---|---|---|---|\n")
	for _, library := range []struct{ name, section string }{{"Keras", "keras"}, {"ONNX Runtime", "onnx"}, {"PyTorch", "torch"}} {
		_, text, _ := section(t, page, library.section)
		models, _, _ := strings.Cut(text, " ")
		fmt.Fprintf(&b, "| %s | %s |", library.name, models)
		for _, kind := range []string{"predictions", "gradients", "weights"} {
			largest := "–"
			for line := range strings.Lines(text) {
				if cells := strings.Split(line, " | "); cells[0] == "| "+kind {
					largest = strings.TrimRight(cells[len(cells)-1], " |\n")
				}
			}
			fmt.Fprintf(&b, " %s |", largest)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestSummary: the summary of the page is that of its sections.
func TestSummary(t *testing.T) {
	page := parityPage(t)
	_, found, _ := section(t, page, "summary")
	if want := summarize(t, page); found != want {
		t.Errorf("found the summary\n%s\nwant\n%s", found, want)
	}
}
