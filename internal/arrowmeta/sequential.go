package arrowmeta

import (
	"errors"
	"io"
)

// Sequential returns a writer for the Arrow library's writer of files, which needs a Seek, but only asks for the current
// offset. So it can write through a buffer.
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
