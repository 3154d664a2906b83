package appendfile

import (
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
)

// OpenAt opens a file with a clock.
func OpenAt(path string, c Config, now func() time.Time) (*File, error) {
	c.now = now
	return OpenFile(path, c)
}

// Limits of rows and pieces.
const (
	MaxRow   = maxRow
	MaxPiece = maxPiece
)

// Len returns the number of classifications in the file.
func (f *File) Len() int { return f.rows }

// Has reports whether the classification with a key is stored.
func (f *File) Has(key string) (bool, error) { return f.keys.Has(dedupe.Of(key)) }
