package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Permanent marks err as one that would come again on every attempt: the value is at fault, not the moment. It
// becomes a dead letter. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err is, or wraps, an error made by [Permanent].
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Failure says where and after how many attempts a value failed. It is what dead letters are labelled with.
type Failure struct {
	// Stage is the stage's or sink's name in the pipeline.
	Stage    string
	Attempts int
	Err      error
}

func (e *Failure) Error() string {
	return fmt.Sprintf("%s, attempt %d: %v", e.Stage, e.Attempts, e.Err)
}

func (e *Failure) Unwrap() error { return e.Err }

// PartialError is the outcome of a batch of which some values failed: their index in the batch, and why. The others
// are durable.
type PartialError struct{ Failed map[int]error }

// Error names how many failed and the first of them.
func (e *PartialError) Error() string {
	if len(e.Failed) == 0 {
		return "none of the batch failed"
	}
	first := slices.Min(slices.Collect(maps.Keys(e.Failed)))
	return fmt.Sprintf("%d of the batch failed, first item %d: %v", len(e.Failed), first, e.Failed[first])
}

// Unwrap returns the errors of the single values, by index. IsPermanent of a PartialError therefore says only that
// some value is at fault; look at Failed for each.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		errs = append(errs, e.Failed[i])
	}
	return errs
}

// failures are the errors of single values in err; named is false where err concerns all of them.
func failures(err error) (failed map[int]error, named bool) {
	if partial, ok := errors.AsType[*PartialError](err); ok {
		return partial.Failed, true
	}
	return nil, false
}

var errBroken = errors.New("the sink could not be flushed too often, and gets nothing more until the next start")

var errQueueFull = errors.New("queue full: the sink cannot keep up")
