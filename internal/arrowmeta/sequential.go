package arrowmeta

import (
	"errors"
	"io"
)

// Sequential adds to w the Seek that the Arrow library needs to write a file. The library only asks for the current
// offset, so w may be a buffer.
func Sequential(w io.Writer) io.WriteSeeker { return &sequential{w: w} }

type sequential struct {
	w io.Writer
	n int64
}

func (s *sequential) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.n += int64(n)
	return n, err
}

func (s *sequential) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("seek: not supported; the file is written sequentially")
	}
	return s.n, nil
}
