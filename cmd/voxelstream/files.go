package main

import (
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/app"
)

// maxFileLines limits the lines about single files: a folder may have thousands that are left out.
const maxFileLines = 20

// filesText writes what became of the files of a command: how many are done, and which are not, with the reason. It
// writes nothing if all are done.
func filesText(w io.Writer, files []app.FileOutcome) {
	odd := app.Remarkable(files)
	if len(odd) == 0 {
		return
	}
	fmt.Fprintf(w, "%s: %s\n", app.Count(len(files), "file"), app.CountFiles(files))
	for i, f := range odd {
		if i == maxFileLines && len(odd) > maxFileLines+1 {
			fmt.Fprintf(w, "  and %d more; --json lists all\n", len(odd)-i)
			return
		}
		rows := ""
		if f.Failed > 0 {
			rows = fmt.Sprintf("%d of %s failed: ", f.Failed, app.Count(f.Rows+f.Failed, "row"))
		}
		fmt.Fprintf(w, "  %-8s  %s: %s%s\n", f.Word(), f.File, rows, f.Error)
	}
}
