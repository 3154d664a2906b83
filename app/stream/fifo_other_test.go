//go:build !unix

package stream

import "errors"

func mkfifo(string) error { return errors.ErrUnsupported }
