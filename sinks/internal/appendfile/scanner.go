package appendfile

import (
	"bytes"
	"fmt"
)

// scanner splits a text into rows.
type scanner struct {
	source

	quotes bool
	buf    []byte
	rest   []byte // what was read and not yet returned
	at     int64  // offset of rest in the text
	n      int    // number of rows returned
	hole   int64  // number of zeros before the last row
	err    error  // that ended the text
}

func newScanner(s source, l Layout) *scanner {
	return &scanner{source: s, quotes: l.Quotes(), buf: make([]byte, 1<<16)}
}

// next returns the next row with its line end. At the end of the text it returns what is left, which is no whole row,
// with [io.EOF], or with another error if the text ends because of that. A row is valid until the next call. Zeros before
// a row are passed over.
func (s *scanner) next() ([]byte, error) {
	s.skipHole()
	from, open := 0, false
	for {
		i := bytes.IndexByte(s.rest[from:], '\n')
		if i < 0 {
			if len(s.rest) > maxRow {
				return nil, s.errorf("found more than %d bytes, want a classification", maxRow)
			}
			if s.err != nil {
				return s.rest, s.err
			}
			s.fill()
			continue
		}
		if s.quotes && bytes.Count(s.rest[from:from+i], []byte{'"'})%2 != 0 {
			open = !open
		}
		if from += i + 1; from > maxRow {
			return nil, s.errorf("found more than %d bytes, want a classification", maxRow)
		}
		if !open {
			row := s.rest[:from]
			s.rest = s.rest[from:]
			s.at += int64(from)
			s.n++
			return row, nil
		}
	}
}

// skipHole skips zeros. They appear if a program truncates a file while another one continues to write at its old
// position.
func (s *scanner) skipHole() {
	s.hole = 0
	for {
		n := 0
		for n < len(s.rest) && s.rest[n] == 0 {
			n++
		}
		s.rest, s.at, s.hole = s.rest[n:], s.at+int64(n), s.hole+int64(n)
		if len(s.rest) > 0 || s.err != nil {
			return
		}
		s.fill()
	}
}

// fill reads more. A row that the buffer has no room for makes it grow.
func (s *scanner) fill() {
	if len(s.rest) == len(s.buf) {
		s.buf = make([]byte, 2*len(s.buf))
	}
	n := copy(s.buf, s.rest)
	more, err := s.Read(s.buf[n:])
	s.rest, s.err = s.buf[:n+more], err
}

// errorf returns an error for the row after those that were returned.
func (s *scanner) errorf(format string, args ...any) error {
	return place(s.n+1, s.at, fmt.Errorf(format, args...))
}

func place(row int, offset int64, err error) error {
	return fmt.Errorf("line %d at offset %d: %w", row, offset, err)
}
