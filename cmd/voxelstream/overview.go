package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/internal/option"
)

// Limits of an overview: the number of reasons, and the length of one in bytes.
const (
	mostReasons = 12
	maxReason   = 160
)

// mostDescribed is the number of files of a folder that inspect describes one by one.
const mostDescribed = 20

// overview counts the files of a folder by format, and those without a description by the reason.
type overview struct {
	folder          string
	first           []files.Inspected // at most mostDescribed
	files           int
	formats         map[[2]string]*share // by format and kind
	skipped, failed map[string]*share    // by reason
}

// share is what files of a folder have in common.
type share struct {
	files int
	bytes int64
	// example is the path of the first file within the folder, reason why it has no description.
	example, reason string
}

func newOverview(folder string) *overview {
	return &overview{
		folder: folder, formats: map[[2]string]*share{}, skipped: map[string]*share{}, failed: map[string]*share{},
	}
}

// add counts a file.
func (o *overview) add(in files.Inspected) {
	if o.files++; len(o.first) < mostDescribed {
		o.first = append(o.first, in)
	}
	name, err := filepath.Rel(o.folder, in.File)
	if err != nil {
		name = in.File
	}
	switch {
	case in.Err != nil:
		reason := strings.ReplaceAll(in.Err.Error(), in.File+": ", "")
		key := withoutNumbers(reason)
		if errors.Is(in.Err, ingest.ErrFormat) {
			key = ingest.ErrFormat.Error() // whatever the file begins with
		}
		count(o.failed, key, in.File, name, reason)
	case in.Skipped != "":
		count(o.skipped, in.Skipped, in.File, name, in.Skipped)
	default:
		kind := ""
		if in.Detail != nil {
			kind = in.Detail.Kind()
		}
		count(o.formats, [2]string{in.Format, kind}, in.File, name, "")
	}
}

// described returns the number of files with a description.
func (o *overview) described() (n int) {
	for _, s := range o.formats {
		n += s.files
	}
	for _, s := range o.skipped {
		n += s.files
	}
	return n
}

// withoutNumbers returns a text with the same character for all digits, so that it is the same for other numbers.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, text)
}

// count adds a file to the share with a key.
func count[K comparable](shares map[K]*share, key K, path, name, reason string) {
	s := shares[key]
	if s == nil {
		s = &share{example: name, reason: reason}
		shares[key] = s
	}
	s.files++
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		s.bytes += info.Size()
	}
}

// sorted returns the keys of shares, those of the most files first.
func sorted[K comparable](shares map[K]*share) []K {
	return slices.SortedFunc(maps.Keys(shares), func(a, b K) int {
		return cmp.Or(cmp.Compare(shares[b].files, shares[a].files), strings.Compare(shares[a].example, shares[b].example))
	})
}

// text writes the overview.
func (o *overview) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", o.folder, app.Count(o.files, "file"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(o.formats) > 0 {
		fmt.Fprintln(table, "  format\tkind\tfiles\tsize\tsuch as")
	}
	for _, key := range sorted(o.formats) {
		s, size := o.formats[key], "-" // of folders
		if s.bytes > 0 {
			size = option.Bytes(s.bytes).Scaled()
		}
		fmt.Fprintf(table, "  %s\t%s\t%d\t%s\t%s\n", key[0], key[1], s.files, size, s.example)
	}
	table.Flush()
	writeReasons(w, "skipped", o.skipped)
	writeReasons(w, "cannot be read", o.failed)
	fmt.Fprintln(w, "--all describes each of them, and --json lists them.")
}

// writeReasons writes the reasons why files have no description.
func writeReasons(w io.Writer, what string, shares map[string]*share) {
	if len(shares) == 0 {
		return
	}
	n := 0
	for _, s := range shares {
		n += s.files
	}
	fmt.Fprintf(w, "%s: %s\n", what, app.Count(n, "file"))
	for i, key := range sorted(shares) {
		if i == mostReasons {
			fmt.Fprintf(w, "  and %s\n", app.Count(len(shares)-i, "more reason"))
			break
		}
		s, such := shares[key], "such as "
		if s.files == 1 {
			such = ""
		}
		fmt.Fprintf(w, "  %d, %s%s: %s\n", s.files, such, s.example, clip.To(s.reason, maxReason))
	}
}
