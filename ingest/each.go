package ingest

import (
	"context"
	"errors"
	"io"
)

// Each calls use for each sample of src until that ends. An error that concerns one item, of src or of use (an
// [ItemError]), goes to bad and is counted; any other ends the reading and is returned.
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
