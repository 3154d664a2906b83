package ingest

import (
	"context"
	"errors"
	"io"
)

// Each calls use for each sample of src until the end. An error of src or use that concerns one item (an
// [ItemError]) is passed to bad and counted; any other error ends the loop and is returned.
func Each(ctx context.Context, src Source, use func(Sample) error, bad func(error)) (failed int, err error) {
	for {
		s, err := src.Read(ctx)
		if errors.Is(err, io.EOF) {
			return failed, nil
		}
		if err == nil {
			err = use(s)
		}
		var item *ItemError
		switch {
		case err == nil:
		case errors.As(err, &item):
			failed++
			bad(err)
		default:
			return failed, err
		}
	}
}
