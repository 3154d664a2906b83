package arrow

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// WriteSchema writes the reference page of the schema, as Markdown.
func WriteSchema(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# Arrow schema of classifications
Version %d. Arrow files of classifications have these columns. Columns are only ever added, at the end.
This page is generated.

The metadata of the schema has `+"`%s`"+`, which is `+"`%s`"+`, and the version in `+"`%s`"+`.

| column | type | meaning |
|---|---|---|
`, record.SchemaVersion, table.KeyKind, table.KindClassifications, table.KeyVersion)
	for i, c := range table.Columns() {
		null := " not null"
		if c.Null {
			null = ""
		}
		fmt.Fprintf(&b, "| `%s` | `%s`%s | %s |\n", c.Name, schema.Field(i).Type, null, c.Doc)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
