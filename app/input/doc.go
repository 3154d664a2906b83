package input

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/internal/option"
)

const filesDoc = "Reads a file or a folder in any supported format. The format is detected from the content, not " +
	"from the file name. A folder is read with all its subfolders. A quoted glob pattern such as 'data/**/*.h5' " +
	"stands for the files that it matches."

// helpWidth is where lines of the help end.
const helpWidth = 100

// Help describes the inputs of a command line, as a list with the options of each.
func Help() string {
	var b strings.Builder
	b.WriteString("Files and folders are read in order. Live sources are read concurrently.\n\nInputs:\n")
	entry(&b, 2, "FILE, FOLDER, PATTERN", filesDoc)
	for _, k := range Kinds() {
		entry(&b, 2, k.Form, k.Doc)
		for _, f := range options(&k) {
			entry(&b, 6, option.QueryName(f)+"="+strings.ToUpper(f.Kind()), f.Doc+f.Hint()+defaultOf(f))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// entry writes a term and, indented below it, what it means.
func entry(b *strings.Builder, indent int, term, text string) {
	margin := strings.Repeat(" ", indent)
	fmt.Fprintf(b, "%s%s\n", margin, term)
	line := margin + "   "
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > helpWidth {
			b.WriteString(line + "\n")
			line = margin + "   "
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

func options(k *live.Kind) []option.Field {
	if k.Options == nil {
		return nil
	}
	return option.Settings(k.Options())
}

func defaultOf(f option.Field) string {
	if f.Zero() {
		return ""
	}
	return " Default: " + f.String() + "."
}

// WriteReference writes the reference page of inputs, as Markdown.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Inputs of run and ingest\nGenerated from the declarations of formats and live sources.\n\n" +
		"Files and folders are read in order. Live sources are read concurrently. " +
		"Options are given as a URL query: " +
		"`watch://in?settle=2s&state=progress`. Percent-encode special characters such as `&` in values.\n")
	fmt.Fprintf(&b, "\n## Files and folders\n%s See [formats](formats.md).\n", filesDoc)
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "\n## `%s`\n%s\n", k.Form, k.Doc)
		if k.Example != k.Form {
			fmt.Fprintf(&b, "\n```sh\nvoxelstream run '%s'\n```\n", k.Example)
		}
		fields := options(&k)
		if len(fields) == 0 {
			continue
		}
		b.WriteString("\n| option | default | meaning |\n|---|---|---|\n")
		for _, f := range fields {
			value := ""
			if !f.Zero() {
				value = "`" + f.String() + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", option.QueryName(f), value, strings.ReplaceAll(f.Doc+f.Hint(), "|", `\|`))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
