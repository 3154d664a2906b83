// Package live holds what live sources have in common: sources through which samples arrive while the program runs.
// Each kind of live source is a folder with a [Kind]; package all lists them.
package live

import "github.com/voxelstream/voxelstream/ingest"

// A live source may fail for a reason that passes (see internal/transient). Its Read is then called again. Any other
// error ends the program, so that a supervisor starts it again; none ends a source silently.

// Settler is a source that wants to know the outcome of its samples, to remember it or to answer a client. Settle may
// be called by any goroutine.
type Settler interface {
	ingest.Source
	// Settle says that a sample has been stored or, with an error, that it never will be and the error is stored as a
	// dead letter.
	Settle(stream string, seq uint64, err error)
}
