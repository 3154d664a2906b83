package stream

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LetterFilter selects dead letters: those that match everything that is set.
type LetterFilter struct {
	// IDs are PARTITION:OFFSET on the topic of dead letters.
	IDs []string
	// Topic is where the message was read, and Stage the stage that failed.
	Topic, Stage string
	// Reason is a part of the error, in any case of letters, or a regular expression between slashes.
	Reason string
	// Stream is the stream of the item. * stands for any text.
	Stream string
	// At is PARTITION or PARTITION:FIRST-LAST, the offsets at which the messages were read.
	At string
	// Since and Until limit the time of the failure.
	Since, Until time.Time
	// Pending selects those that were not sent back and can be.
	Pending bool

	reason, stream        *regexp.Regexp
	partition             int
	firstOffset, endBound int64
}

// Prepare checks the filter. It must be called before Match if Reason, Stream or At is set.
func (f *LetterFilter) Prepare() (err error) {
	expression, slashes := strings.CutPrefix(f.Reason, "/")
	if slashes && len(expression) > 0 && strings.HasSuffix(expression, "/") {
		if f.reason, err = regexp.Compile(strings.TrimSuffix(expression, "/")); err != nil {
			return fmt.Errorf("reason: %w", err)
		}
	} else if f.Reason != "" {
		f.reason = regexp.MustCompile("(?is)" + regexp.QuoteMeta(f.Reason))
	}
	if f.Stream != "" {
		parts := strings.Split(f.Stream, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		f.stream = regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$")
	}
	if f.At != "" {
		if err := f.parseAt(); err != nil {
			return fmt.Errorf("at: found %q, want PARTITION or PARTITION:FIRST-LAST, such as 3:100-200", f.At)
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && f.Until.Before(f.Since) {
		return fmt.Errorf("until: found %v, want a time after %v", f.Until, f.Since)
	}
	return nil
}

func (f *LetterFilter) parseAt() (err error) {
	partition, offsets, some := strings.Cut(f.At, ":")
	if f.partition, err = strconv.Atoi(partition); err != nil {
		return err
	}
	f.firstOffset, f.endBound = 0, 1<<62
	if !some {
		return nil
	}
	first, last, isRange := strings.Cut(offsets, "-")
	if !isRange {
		last = first
	}
	if f.firstOffset, err = strconv.ParseInt(first, 10, 64); err != nil {
		return err
	}
	if f.endBound, err = strconv.ParseInt(last, 10, 64); err == nil && f.endBound < f.firstOffset {
		err = errors.New("the last offset is before the first one")
	}
	return err
}

// Match reports whether the filter selects a dead letter.
func (f *LetterFilter) Match(d *DeadLetter) bool {
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, d.ID),
		f.Topic != "" && d.Topic != f.Topic,
		f.Stage != "" && d.Stage != f.Stage,
		f.reason != nil && !f.reason.MatchString(d.Error),
		f.stream != nil && !f.stream.MatchString(d.Stream),
		f.At != "" && (d.partition != f.partition || max(d.Last, d.offset) < f.firstOffset || d.offset > f.endBound),
		!f.Since.IsZero() && d.Time.Before(f.Since),
		!f.Until.IsZero() && d.Time.After(f.Until),
		f.Pending && (d.Replayed != nil || !d.hasMessage()):
		return false
	}
	return true
}
