package formats

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// WriteReference writes the reference page of all formats, in the order in which they are tried, as Markdown.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Formats\n\nGenerated from the list of formats. Every input is recognized by its content, never " +
		"by its name alone. Any of these files may be\n" +
		"compressed with gzip. The usual extensions are listed for reference. `voxelstream inspect FILE` describes " +
		"the content of a file\nand notes what was assumed, left out or repaired.\n\n" +
		"| format | usual extensions | decoded by | tested with |\n|---|---|---|---|\n")
	for _, f := range All() {
		extensions := "any"
		if len(f.Extensions) > 0 {
			extensions = "`" + strings.Join(f.Extensions, "` `") + "`"
		}
		fmt.Fprintf(&b, "| [%[1]s](#%[1]s) | %s | %s | %s |\n", f.Name, extensions, cmp.Or(f.Library, "own code"),
			cmp.Or(f.Tested, "files created by the tests"))
	}
	for _, f := range All() {
		fmt.Fprintf(&b, "\n## %s\n- Read: %s.\n", f.Name, f.Doc)
		if f.Assumes != "" {
			fmt.Fprintf(&b, "- Assumed: %s.\n", f.Assumes)
		}
		if f.Refuses != "" {
			fmt.Fprintf(&b, "- Refused: %s.\n", f.Refuses)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
