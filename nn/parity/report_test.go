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
	fmt.Fprintf(&b, "%d random models of Keras %s on TensorFlow %s, %d of them trained for %d steps of Adam on both sides. The others have nothing to train, draw\n"+
		"random numbers, or have (%d) a window with two largest numbers, of which TensorFlow on a CPU gives each the whole gradient, or rounding decides."+
		"\n\n",
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
	b.WriteString("\n| Layer | times | with options |\n|---|---|---|\n")
	for _, class := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(b, "| %s | %d | %s |\n", class, counts[class], listed(options[class]))
	}
}

// writeSection puts text between the marks of that name on the reference page.
func writeSection(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(testenv.Root(), "docs", "reference", "parity.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	start, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(string(page), start)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s: no section %s", path, name)
	}
	if err := os.WriteFile(path, []byte(before+start+text+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
