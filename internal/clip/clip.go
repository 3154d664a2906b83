// Package clip shortens texts that quote inputs, such as errors, where they leave the program. An input may be of any
// size, and so may a text that quotes it.
package clip

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limit is the maximum size of a text in bytes, unless stated otherwise.
const Limit = 4096

// Text returns a text of at most [Limit] bytes. The end of a longer text is replaced by its size.
func Text(text string) string { return To(text, Limit) }

// To is [Text] with another limit, which must be greater than 40.
func To(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	mark := fmt.Sprintf("... (cut, %d bytes in total)", len(text))
	keep := limit - len(mark)
	for keep > 0 && keep > limit-len(mark)-utf8.UTFMax && !utf8.RuneStart(text[keep]) {
		keep--
	}
	return text[:keep] + mark
}

// Error returns err, or an error with the same chain whose text is shorter.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if len(text) <= Limit {
		return err
	}
	return &clipped{strings.Clone(Text(text)), err}
}

type clipped struct {
	text string
	err  error
}

func (e *clipped) Error() string { return e.text }
func (e *clipped) Unwrap() error { return e.err }
