package lidar

import (
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// Options are the choices that files of points without a description of their columns leave open.
type Options struct {
	Columns []string `yaml:"columns" flag:"columns" doc:"Names of the columns of text tables and raw scans (.bin), in order, such as x,y,z,intensity; a dash skips a column. Empty uses the names in the file, or the usual order."`
	Comma   string   `yaml:"comma" flag:"comma" enum:"auto,decimal,thousands" doc:"Meaning of a comma within the numbers of text tables. auto infers it from the numbers, and reports an error if they are ambiguous."`
}

func newOptions() any { return &Options{Comma: "auto"} }

func optionsOf(o ingest.Options) Options { return ingest.ReaderOptions(o, Options{}) }

// meaning returns the meaning of a comma, empty if the numbers decide.
func (o Options) meaning() string {
	if o.Comma == "auto" {
		return ""
	}
	return o.Comma
}

// chosen returns the names of the option columns for k columns, or nil if there are none.
func (o Options) chosen(k int) ([]string, error) {
	if len(o.Columns) == 0 {
		return nil, nil
	}
	if k != len(o.Columns) {
		return nil, fmt.Errorf("found %d columns, --columns names %d", k, len(o.Columns))
	}
	names := make([]string, k)
	for i, name := range o.Columns {
		if names[i] = strings.TrimSpace(name); names[i] == "-" {
			names[i] = ""
		}
	}
	if err := columns.Missing(names); err != nil {
		return nil, fmt.Errorf("--columns: %w", err)
	}
	return names, nil
}
