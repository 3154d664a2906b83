package reprocess

import (
	"cmp"
	"context"
	"io"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/report"
)

// result returns what the job has done.
func (f *results) result() *Result {
	r := &Result{Files: f.files, Resumed: f.resumed}
	var labels labelled
	for i := range f.files {
		file := &f.files[i]
		if file.Used() {
			r.Rows += int64(file.Rows)
			r.Classified += int64(file.Classified)
			r.Failed += int64(file.Failed)
		}
		labels.rows += f.labels[i].rows
		labels.correct += f.labels[i].correct
	}
	r.Accuracy = labels.accuracy()
	for _, o := range f.outputs {
		r.Outputs = append(r.Outputs, o.Name)
	}
	r.Outputs = append(r.Outputs, ManifestName, reportJSON, reportHTML)
	return r
}

func (l labelled) accuracy() *float64 {
	if l.rows == 0 {
		return nil
	}
	a := float64(l.correct) / float64(l.rows)
	return &a
}

// report stores the report, as a page and as JSON.
func (f *results) report(ctx context.Context, r *Result) error {
	rep := f.builder.Report()
	rep.Input, rep.Assumed = f.job.Settings.Config["input"], f.job.Assumed
	rep.Versions = []report.Version{{Name: "voxelstream", Version: f.job.Settings.Version}}
	rep.Run = &report.Run{Seconds: r.Seconds, Rows: int(r.Rows - r.Resumed), Workers: f.job.Workers}
	if r.Seconds > 0 {
		rep.Run.RowsPerSecond = float64(rep.Run.Rows) / r.Seconds
	}
	rep.Rows, rep.Classified, rep.Failed = int(r.Rows), int(r.Classified), int(r.Failed)
	for i := range f.files {
		file := &f.files[i]
		rep.Files = append(rep.Files, report.File{
			File: file.File, Streams: file.Streams, Status: file.status(), Rows: file.Rows, Classified: file.Classified,
			Failed: file.Failed, Accuracy: f.labels[i].accuracy(), Error: file.Why(), Notes: file.Notes,
		})
	}
	if err := rep.Draw(ctx, f.volume); err != nil {
		return err
	}
	if err := f.job.putJSON(ctx, reportJSON, rep); err != nil {
		return err
	}
	return f.job.Store.Put(ctx, reportHTML, func(path string) error {
		return ingest.WriteFile(path, func(w io.Writer) error { return rep.HTML(w) })
	})
}

// Why returns the reason if not all rows of the input are in the results, or an empty string.
func (r *FileResult) Why() string {
	if r.Repeats != "" {
		return "the same name and content as " + r.Repeats
	}
	return cmp.Or(r.Error, r.Skipped)
}

// status returns the outcome of an input for the report, which does not depend on interruptions.
func (r *FileResult) status() report.Status {
	switch {
	case r.Skipped != "":
		return report.Skipped
	case r.Repeats != "":
		return report.Repeated
	case r.Error != "" && r.Classified == 0:
		return report.Failed
	case r.Error != "":
		return report.Partial
	}
	return report.Done
}
