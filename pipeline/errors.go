package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Permanent marks err as permanent: the value itself is at fault, so every attempt would fail. Such a value becomes a
// dead letter. Permanent(nil) is nil.
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

// Failure is the error of a value that failed in a stage or sink. Dead letters are labelled with it.
type Failure struct {
	// Stage is the name of the stage or sink in the pipeline.
	Stage    string
	Attempts int
	Err      error
}

func (e *Failure) Error() string {
	return fmt.Sprintf("%s, attempt %d: %v", e.Stage, e.Attempts, e.Err)
}

func (e *Failure) Unwrap() error { return e.Err }

// PartialError is the error of a batch in which some values failed. Failed has the error of each of them, by its index
// in the batch. The other values succeeded.
type PartialError struct{ Failed map[int]error }

// Partial returns a *[PartialError], or nil if failed is empty.
func Partial(failed map[int]error) error {
	if len(failed) == 0 {
		return nil
	}
	return &PartialError{Failed: failed}
}

// Error returns the number of failed values and the first error.
func (e *PartialError) Error() string {
	if len(e.Failed) == 0 {
		return "none of the batch failed"
	}
	first := slices.Min(slices.Collect(maps.Keys(e.Failed)))
	return fmt.Sprintf("%d of the batch failed, first item %d: %v", len(e.Failed), first, e.Failed[first])
}

// Unwrap returns the errors of the values, ordered by index. IsPermanent of a PartialError therefore reports whether
// any of them is permanent; check Failed for a particular value.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		errs = append(errs, e.Failed[i])
	}
	return errs
}

// failures returns the errors of individual values in err. named is false if err applies to all values.
func failures(err error) (failed map[int]error, named bool) {
	if partial, ok := errors.AsType[*PartialError](err); ok {
		return partial.Failed, true
	}
	return nil, false
}

var (
	errBroken    = errors.New("too many flushes failed; the sink receives nothing more until the next start")
	errQueueFull = errors.New("queue full: the sink cannot keep up")
)
