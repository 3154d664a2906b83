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
	b.WriteString("| Compared | arrays | median | 99% below | largest |\n|---|---|---|---|---|\n")
	for _, kind := range []string{"predictions", "predictions without passes", "loss", "gradients", "weights", "way back"} {
		d := slices.Sorted(slices.Values(c.worst[kind]))
		if len(d) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %.1e | %.1e | %.1e |\n", kind, len(d), d[len(d)/2], d[len(d)*99/100], d[len(d)-1])
	}
	counts, options := c.coverage()
	b.WriteString("\n| Layer | times | with options |\n|---|---|---|\n")
	for _, class := range slices.Sorted(maps.Keys(counts)) {
		var list []string
		for _, o := range slices.Sorted(maps.Keys(options[class])) {
			list = append(list, fmt.Sprintf("%s %d", o, options[class][o]))
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", class, counts[class], strings.Join(list, ", "))
	}
	fmt.Println(b.String())
	if *update && !t.Failed() {
		writeSection(t, "keras", b.String())
	}
}

// coverage counts how often each layer occurred, and each of its options.
func (c *comparison) coverage() (counts map[string]int, options map[string]map[string]int) {
	counts, options = map[string]int{}, map[string]map[string]int{}
	for _, e := range c.manifest.Models {
		for _, l := range e.Layers {
			counts[l.Class]++
			if options[l.Class] == nil {
				options[l.Class] = map[string]int{}
			}
			for _, o := range l.Options {
				options[l.Class][o]++
			}
		}
	}
	return counts, options
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
