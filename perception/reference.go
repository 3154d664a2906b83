package perception

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
)

// stageDocs has the title and the description of each stage in the reference page.
var stageDocs = map[Stage][2]string{
	Filters:  {"Filters", "Filters remove points or describe them. They run in the configured order."},
	Surfaces: {"Ground and planes", "These steps find surfaces whose points belong to no object."},
	Clusters: {"Clusters", "These steps group the remaining points into objects."},
	Boxes:    {"Boxes", "These steps compute the bounding boxes of objects."},
	Tracks:   {"Tracks", "These steps follow objects from one scan of a stream to the next."},
}

// WriteReference writes the Markdown reference page of steps.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Perception steps\n\nGenerated from the declarations of steps. `perception.scan` lists the steps " +
		"that find the objects of a scan, and `perception.frame`\nthose for depth frames. Steps of an " +
		"earlier stage must come before those of a later one.\n\nPoints are in the sensor's axes: x forward, y left " +
		"and z up, in metres, with the sensor at the origin.\n")
	described := map[string]bool{}
	for stage := Filters; stage <= Tracks; stage++ {
		fmt.Fprintf(&b, "\n## %s\n%s\n", stageDocs[stage][0], stageDocs[stage][1])
		for _, s := range Steps() {
			if s.Makes != stage {
				continue
			}
			fmt.Fprintf(&b, "\n### %s\n%s\n", s.Name, s.Doc)
			if s.Options == nil {
				continue
			}
			b.WriteString("\n| key | default | meaning |\n|---|---|---|\n")
			for _, f := range option.Settings(s.Options()) {
				fmt.Fprintf(&b, "| `perception.%s` | %s | %s |\n", f.Path, code(f.String()), meaning(f, described))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func code(value string) string {
	if value == "" {
		return ""
	}
	return "`" + value + "`"
}

// meaning returns the documentation of a field. The choices of each type are described once.
func meaning(f option.Field, described map[string]bool) string {
	var text strings.Builder
	text.WriteString(f.Doc + f.Hint())
	kind := f.Type().String()
	if docs := f.ChoiceDocs(); docs != nil && !described[kind] {
		described[kind] = true
		for i, doc := range docs {
			fmt.Fprintf(&text, "<br>`%s`: %s", f.Choices()[i], doc)
		}
	}
	return text.String()
}
