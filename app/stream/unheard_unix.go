//go:build unix

package stream

import (
	"errors"

	"golang.org/x/sys/unix"
)

// unheard says whether a write failed because nobody listens at the port.
func unheard(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
