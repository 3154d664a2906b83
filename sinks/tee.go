package sinks

import (
	"context"
	"errors"

	"github.com/voxelstream/voxelstream/record"
)

// Tee writes to each sink in turn. When one fails the write fails, the caller repeats it, and the sinks that had it drop the repeat; so every
// sink gets everything, once.
func Tee(all ...Sink) Sink {
	if len(all) == 1 {
		return all[0]
	}
	return tee(all)
}

type tee []Sink

func (t tee) Write(ctx context.Context, cs []record.Classification) error {
	for _, s := range t {
		if err := s.Write(ctx, cs); err != nil {
			return err
		}
	}
	return nil
}

func (t tee) Close(ctx context.Context) error {
	var errs []error
	for _, s := range t {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(errs...)
}
