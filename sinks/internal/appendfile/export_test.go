package appendfile

import "time"

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
