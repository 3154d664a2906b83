package ingest

import (
	"context"
	"errors"
	"io"
)

// Each calls use for each sample of src until the end. An error of src or use that concerns one item (an
// [ItemError]) is passed to bad and counted. So is an error that ends src early, if samples were read before: what is
// whole of a damaged file is kept. Any other error ends the loop and is returned.
func Each(ctx context.Context, src Source, use func(Sample) error, bad func(error)) (failed int, err error) {
	for read := 0; ; {
		s, err := src.Read(ctx)
		if errors.Is(err, io.EOF) {
			return failed, nil
		}
		cut := err != nil && read > 0 && ctx.Err() == nil
		if err == nil {
			read++
			err = use(s)
		}
		_, item := errors.AsType[*ItemError](err)
		switch {
		case err == nil:
		case item:
			failed++
			bad(err)
		case cut:
			bad(err)
			return failed + 1, nil
		default:
			return failed, err
		}
	}
}
