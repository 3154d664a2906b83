package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/report"
)

// FileStatus says what became of a file.
type FileStatus string

// The statuses.
const (
	// FileDone: every row of the file was used.
	FileDone FileStatus = "done"
	// FileRepeated: the file has the name and the content of another one, or all of its rows were stored before.
	FileRepeated FileStatus = "repeated"
	// FileResumed: an earlier run of the same command has finished the file.
	FileResumed FileStatus = "resumed"
	// FileSkipped: the file was left out on purpose.
	FileSkipped FileStatus = "skipped"
	// FileFailed: the file, or some of its rows, could not be used.
	FileFailed FileStatus = "failed"
)

// FileStatuses lists the statuses, in the order of how much a reader should notice them.
func FileStatuses() []FileStatus {
	return []FileStatus{FileDone, FileResumed, FileRepeated, FileSkipped, FileFailed}
}

// FileOutcome is what became of one file of a command's inputs, or of a folder that is one recording. Every file below
// the folders of a command has one.
type FileOutcome struct {
	File   string     `json:"file"`
	Status FileStatus `json:"status"`
	// Rows counts the rows that were used: those sent, classified or evaluated.
	Rows int64 `json:"rows"`
	// Failed counts the rows that could not be used.
	Failed int64 `json:"failed,omitempty"`
	// New and Repeated count the rows whose results are stored now and were stored before, in commands that store
	// results of rows.
	New      int64 `json:"new,omitempty"`
	Repeated int64 `json:"repeated,omitempty"`
	// Error is the reason if the status is not done: that of the first failure of a file with several.
	Error string `json:"error,omitempty"`
}

// Outcomes collects the outcomes of files. Its zero value is ready for use, also by several goroutines.
type Outcomes struct {
	mu    sync.Mutex
	files []*FileOutcome
}

// Add adds a file, whose status is done until something else is reported.
func (o *Outcomes) Add(path string) *FileTally {
	f := &FileOutcome{File: path, Status: FileDone}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files = append(o.files, f)
	return &FileTally{o, f}
}

// List returns the outcomes in the order in which the files were added. A file is repeated if the results of all of its
// rows were stored before.
func (o *Outcomes) List() []FileOutcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]FileOutcome, len(o.files))
	for i, f := range o.files {
		out[i] = *f
		out[i].Rows = max(0, f.Rows) // rows may be lost before they are counted as used
		if f.Status == FileDone && f.Repeated > 0 && f.Repeated == f.Rows {
			out[i].Status, out[i].Error = FileRepeated, "the results of all rows were stored before"
		}
	}
	return out
}

// FileTally counts the rows of one file. It is safe for concurrent use.
type FileTally struct {
	o *Outcomes
	f *FileOutcome
}

// Path returns the path of the file.
func (t *FileTally) Path() string { return t.f.File }

// Used counts rows that were used.
func (t *FileTally) Used(rows int) {
	t.o.mu.Lock()
	defer t.o.mu.Unlock()
	t.f.Rows += int64(rows)
}

// FailedRow counts a row that could not be used.
func (t *FileTally) FailedRow(reason error) {
	t.o.mu.Lock()
	defer t.o.mu.Unlock()
	t.f.Failed++
	t.end(FileFailed, reason.Error())
}

// Lost counts a row as failed that was counted as used.
func (t *FileTally) Lost(reason error) {
	t.Used(-1)
	t.FailedRow(reason)
}

// Stored counts a used row whose result is stored: repeated if it was stored before.
func (t *FileTally) Stored(repeated bool) {
	t.o.mu.Lock()
	defer t.o.mu.Unlock()
	if repeated {
		t.f.Repeated++
	} else {
		t.f.New++
	}
}

// End reports what became of the file if it is not done. The first failure prevails over everything else.
func (t *FileTally) End(status FileStatus, reason string) {
	t.o.mu.Lock()
	defer t.o.mu.Unlock()
	t.end(status, reason)
}

func (t *FileTally) end(status FileStatus, reason string) {
	if t.f.Status != FileFailed {
		t.f.Status, t.f.Error = status, clip.Text(withoutPath(reason, t.f.File))
	}
}

// withoutPath removes the path from the beginning of a reason, because it stands beside it.
func withoutPath(reason, path string) string { return strings.TrimPrefix(reason, path+": ") }

// Word returns the outcome in the words of reports: a failed file of which some rows were used is partial.
func (f *FileOutcome) Word() report.Status {
	if f.Status == FileFailed && f.Rows > 0 {
		return report.Partial
	}
	return report.Status(f.Status)
}

// CountFiles returns how many files have each outcome, as text: "3 done, 1 partial, 1 failed".
func CountFiles(files []FileOutcome) string {
	n := map[report.Status]int{}
	for i := range files {
		n[files[i].Word()]++
	}
	var parts []string
	for _, s := range []report.Status{
		report.Done, report.Resumed, report.Repeated, report.Skipped, report.Partial, report.Failed,
	} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

// Remarkable returns the files that are not plainly done, the failed ones first.
func Remarkable(files []FileOutcome) []FileOutcome {
	out := slices.DeleteFunc(slices.Clone(files), func(f FileOutcome) bool {
		return f.Status == FileDone || f.Status == FileResumed
	})
	order := FileStatuses()
	slices.SortStableFunc(out, func(a, b FileOutcome) int {
		return cmp.Compare(slices.Index(order, b.Status), slices.Index(order, a.Status))
	})
	return out
}

// FilesError returns an error that wraps [ErrSkipped] if a file failed.
func FilesError(files []FileOutcome) error {
	failed := 0
	for _, f := range files {
		if f.Status == FileFailed {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return &skippedError{fmt.Sprintf("%d of %s could not be used completely", failed, Count(len(files), "file"))}
}
