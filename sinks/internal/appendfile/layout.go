package appendfile

import (
	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/record"
)

// maxRow is the maximum length of a row. A classification with a long list of scores takes a few KiB.
const maxRow = 1 << 20

// Layout is a text form of classifications: a header perhaps, then a row for each of them. A Layout may have state that
// depends on the file, so each file needs its own.
type Layout interface {
	// Header returns the first line of a new file with its line end. It is empty if there is none.
	Header() []byte
	// Begin is called with the first line of an existing file, if the layout has a header. It reports whether that is
	// a header of the layout, and adjusts the layout to it.
	Begin(line []byte) bool
	// Newer returns the layout of this version, if Begin has found fewer columns, or nil.
	Newer() Layout
	// Quotes reports whether line ends between double quotes belong to the row.
	Quotes() bool
	// Append appends a row with its line end to dst. The error begins with the event ID.
	Append(dst []byte, c *record.Classification) ([]byte, error)
	// Key returns the key of the classification in a row, or false if the row is not a classification.
	Key(row []byte) (dedupe.Key, bool)
	// Decode decodes a row.
	Decode(row []byte, c *record.Classification) error
	// MayBegin reports whether a text, which has no header, can be the beginning of a file.
	MayBegin(text []byte) bool
}
