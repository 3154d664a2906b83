package appendfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/voxelstream/voxelstream/internal/dedupe"
)

// stretchBytes is the length of the text whose keys are found at once.
const stretchBytes = 256 << 10

// maxFinders is the maximum number of goroutines that find keys. More would only wait for the goroutine that splits
// the file into rows.
const maxFinders = 8

// stretch is a number of rows.
type stretch struct {
	text []byte
	rows []scannedRow
	// part is what is left behind the last row of the text, end is the place of it, and err is the error that ended the
	// text. They are set in the last stretch only.
	part []byte
	end  scannedRow
	err  error

	found chan struct{} // is closed when the rows have their keys
}

type scannedRow struct {
	end int   // in the stretch
	at  int64 // offset in the text of the file
	// good is the offset in the file before the row, where the file can be cut, or -1.
	good int64
	hole int64 // number of zeros before it
	key  dedupe.Key
	ok   bool // the row is a classification
}

// row returns the i-th row.
func (t *stretch) row(i int) []byte {
	begin := 0
	if i > 0 {
		begin = t.rows[i-1].end
	}
	return t.text[begin:t.rows[i].end]
}

// scan is the scan of a file. One goroutine splits it into rows, others find the keys, and the caller collects them.
type scan struct {
	loaded

	file   *File
	source *scanner
	tail   tail
	header bool
	// keys are those behind good. They are added when it is certain that the rows stay.
	keys  []dedupe.Key
	begun int64 // offset of good in the text
	n     int   // rows so far

	layouts chan Layout // one for each goroutine that finds keys
	order   chan *stretch
	texts   sync.Pool // of *[]byte, the memory of stretches
	stop    chan struct{}
	work    sync.WaitGroup
}

// scan reads the first size bytes of a file, and adds the keys of all rows that are not torn.
func (f *File) scan(file io.ReaderAt, size int64, how *compression) (loaded, error) {
	src := newSource(file, size, how)
	if p, ok := src.(*pieces); ok {
		defer p.close()
	}
	layout := f.c.Layout()
	s := &scan{
		loaded: loaded{layout: layout}, file: f, source: newScanner(src, layout), tail: tail{file: file, size: size, how: how},
		header: len(layout.Header()) > 0, stop: make(chan struct{}),
	}
	s.source.fill() // passes pieces without text
	var first []byte
	if s.header {
		s.cutAt(s.goodHere(), s.source.at)
		row, err := s.source.next()
		if err != nil {
			return s.ended(row, err)
		}
		if first, err = s.begin(row); err != nil {
			return s.loaded, err
		}
	}
	finders := min(runtime.GOMAXPROCS(0), maxFinders)
	s.layouts, s.order = make(chan Layout, finders), make(chan *stretch, finders)
	for range finders {
		l := f.c.Layout()
		if s.header {
			l.Begin(first)
		}
		s.layouts <- l
	}
	s.work.Go(s.split)
	err := s.collect()
	close(s.stop)
	s.work.Wait()
	return s.loaded, err
}

// begin handles the first row of a file that has a header, and returns the header. A file that begins with zeros has lost
// it.
func (s *scan) begin(row []byte) ([]byte, error) {
	s.n = 1
	hole := s.source.hole
	if s.layout.Begin(row) {
		s.addHole(0, hole)
		return bytes.Clone(row), nil
	}
	header := s.layout.Header()
	if hole > 0 && s.layout.Begin(header) {
		if key, ok := s.layout.Key(row); ok {
			s.keys, s.headless = append(s.keys, key), true
			s.addHole(0, hole)
			return header, nil
		}
	}
	return nil, place(1, 0, fmt.Errorf("found %.60q, want the header %.60q", row, header))
}

// addHole notes zeros before a row.
func (s *scan) addHole(at, n int64) {
	if n > 0 {
		s.holes = append(s.holes, hole{at, at + n})
	}
}

// goodHere returns the offset in the file of the present place in the text, if the file can be cut there, or -1.
func (s *scan) goodHere() int64 {
	if end, ok := s.source.end(s.source.at); ok {
		return end
	}
	return -1
}

// split divides the text into stretches and starts to find their keys.
func (s *scan) split() {
	defer close(s.order)
	for more := true; more; {
		t := &stretch{found: make(chan struct{})}
		if old, ok := s.texts.Get().(*[]byte); ok {
			t.text = (*old)[:0]
		}
		for more && len(t.text) < stretchBytes {
			r := scannedRow{at: s.source.at, good: s.goodHere()}
			row, err := s.source.next()
			if err != nil {
				t.part, t.end, t.err, more = row, r, err, false
				break
			}
			t.text = append(t.text, row...)
			r.end, r.hole = len(t.text), s.source.hole
			t.rows = append(t.rows, r)
		}
		s.work.Go(func() {
			layout := <-s.layouts
			for i := range t.rows {
				t.rows[i].key, t.rows[i].ok = layout.Key(t.row(i))
			}
			s.layouts <- layout
			close(t.found)
		})
		select {
		case s.order <- t:
		case <-s.stop:
			return
		}
	}
}

// collect adds the keys in order.
func (s *scan) collect() error {
	for t := range s.order {
		<-t.found
		for i := range t.rows {
			r := &t.rows[i]
			if err := s.before(r.good, r.at); err != nil {
				return err
			}
			s.n++
			if r.ok {
				s.keys = append(s.keys, r.key)
				s.addHole(r.at, r.hole)
				continue
			}
			if s.tail.how == plain && (s.n > 1 || mayBegin(s.layout, t.row(i))) && s.last(t, i) {
				s.torn = true
				return nil
			}
			return place(s.n, r.at, notClassification(t.row(i)))
		}
		if t.err != nil {
			if err := s.before(t.end.good, t.end.at); err != nil {
				return err
			}
			_, err := s.ended(t.part, t.err)
			return err
		}
		s.texts.Put(&t.text)
	}
	return nil
}

func notClassification(row []byte) error {
	return fmt.Errorf("found %.60q, want a classification", bytes.TrimSpace(row))
}

// last reports whether nothing comes after the i-th row of a stretch.
func (s *scan) last(t *stretch, i int) bool {
	if i+1 < len(t.rows) {
		return false
	}
	if t.err == nil {
		if t = <-s.order; len(t.rows) > 0 {
			return false
		}
	}
	return len(t.part) == 0 && errors.Is(t.err, io.EOF)
}

// cutAt notes that the file can be cut at an offset, unless it is negative.
func (s *scan) cutAt(good, at int64) {
	if good >= 0 {
		s.good, s.begun = good, at
	}
}

// before adds the keys of the rows before an offset in the text, if they stay.
func (s *scan) before(good, at int64) error {
	s.cutAt(good, at)
	if at != s.begun && at-s.begun <= maxPiece { // a longer piece is none of ours, and is not cut off
		return nil
	}
	if err := s.file.keys.Reserve(len(s.keys)); err != nil {
		return err
	}
	for _, k := range s.keys {
		s.file.keys.Add(k)
	}
	s.rows += len(s.keys)
	s.keys = s.keys[:0]
	return nil
}

// ended handles the end of the text, after part of a row.
func (s *scan) ended(part []byte, err error) (loaded, error) {
	s.tail.text = s.source.at - s.begun
	s.torn, err = s.tear(s.source, part, err, s.tail)
	if err == nil && s.header && s.source.n == 0 && s.tail.size > 0 { // pieces without text
		s.good, s.torn = 0, true
	}
	return s.loaded, err
}
