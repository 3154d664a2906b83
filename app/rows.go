package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Rows selects rows or frames of each file: from First, counted from 0, to the one before End. Rows that cannot be
// read count too. The zero value selects all.
type Rows struct{ First, End int }

// ParseRows returns the rows of a text such as 0:24.
func ParseRows(text string) (Rows, error) {
	from, to, ok := strings.Cut(text, ":")
	first, errFirst := strconv.Atoi(cmp.Or(from, "0"))
	end, errEnd := strconv.Atoi(to)
	if !ok || errFirst != nil || errEnd != nil || first < 0 || end <= first {
		return Rows{}, errors.New("want FIRST:END with FIRST < END, such as 0:24")
	}
	return Rows{first, end}, nil
}

// ParseRow returns the row of a number.
func ParseRow(text string) (Rows, error) {
	row, err := strconv.Atoi(text)
	if err != nil || row < 0 {
		return Rows{}, errors.New("want an integer from 0")
	}
	return Rows{row, row + 1}, nil
}

// All reports whether all rows are selected.
func (r Rows) All() bool { return r == Rows{} }

// Of returns the selected samples of a source that has not been read yet, with the IDs they have there. If there are
// none, the first Read returns an error, which wraps [ErrNoRows].
func (r Rows) Of(src ingest.Source) ingest.Source {
	if r.All() {
		return src
	}
	return &selected{Source: ingest.Slice(src, r.First, r.End-r.First), rows: r}
}

// ErrNoRows means that a file ends before the rows that are selected.
var ErrNoRows = errors.New("rows are counted from 0; inspect shows how many there are")

// selected are the selected samples of a source.
type selected struct {
	ingest.Source
	rows Rows
	some bool // have been read
}

func (s *selected) Read(ctx context.Context) (ingest.Sample, error) {
	sample, err := s.Source.Read(ctx)
	if errors.Is(err, io.EOF) && !s.some {
		return sample, fmt.Errorf("found no %v: %w", s.rows, ErrNoRows)
	}
	s.some = true
	return sample, err
}

// Classes returns the names of classes that the source knows.
func (s *selected) Classes(ctx context.Context) []string { return ingest.ClassesOf(ctx, s.Source) }

// String describes the rows in a sentence: row 7, or rows 0 to 23.
func (r Rows) String() string {
	switch {
	case r.All():
		return "all rows"
	case r.End == r.First+1:
		return fmt.Sprintf("row %d", r.First)
	}
	return fmt.Sprintf("rows %d to %d", r.First, r.End-1)
}
