package watch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// stamp tells a file from another of the same name. The number of the inode is not part of it, because those of some
// network file systems change with each mount; a file that takes the place of another has another status time.
type stamp struct {
	name string
	size int64
	time int64 // of the last change of the content, in nanoseconds since 1970
	// status is the time of the last change of the content, the name or the permissions; 0 if the system has none.
	status int64
}

func stampOf(info os.FileInfo) stamp {
	return stamp{name: info.Name(), size: info.Size(), time: info.ModTime().UnixNano(), status: statusTime(info)}
}

// key names the file in the journal. Another file of the same name has another key.
func (s stamp) key() string { return fmt.Sprintf("%s %d %d", s.name, s.size, s.time) }

// done is a file that is done with.
type done struct {
	stamp
	// stream is that of its first sample; empty if it has none.
	stream string
}

// line is how a file is stored.
func (d done) line() string {
	return fmt.Sprintf("%d %d %d %s %s\n", d.size, d.time, d.status, strconv.Quote(d.stream), strconv.Quote(d.name))
}

var errLine = errors.New("want size, two times, stream and name")

// parseDone parses a line. Earlier versions wrote size, time and name.
func parseDone(line string) (d done, err error) {
	for i, n := range []*int64{&d.size, &d.time, &d.status} {
		if i == 2 && strings.HasPrefix(line, `"`) {
			break
		}
		var word string
		word, line, _ = strings.Cut(line, " ")
		if *n, err = strconv.ParseInt(word, 10, 64); err != nil {
			return d, errLine
		}
	}
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return d, errLine
	}
	if d.name, err = strconv.Unquote(quoted); err != nil {
		return d, errLine
	}
	if line = strings.TrimPrefix(line[len(quoted):], " "); line != "" {
		d.stream = d.name
		if d.name, err = strconv.Unquote(line); err != nil {
			return d, errLine
		}
	}
	return d, nil
}

// maxState bounds the state file: as many lines as a folder may have files, each with a stream and a name of 255 bytes,
// all escaped.
const maxState = maxFiles * (3*20 + 2*4*255)

// state is a file of one line for each file that is done with, appended and synced.
type state struct {
	path string
	f    *os.File // nil: it must be written anew
	done map[string]done
}

// openState reads the state and writes it anew without the files that are gone. A last line without its end was cut
// by a crash: its file is read again.
func openState(path, dir string) (*state, error) {
	s := &state{path: path, done: map[string]done{}}
	data, err := regular.Read(path, maxState)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(string(data[:bytes.LastIndexByte(data, '\n')+1])) {
		n++
		d, err := parseDone(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: found %.60q, %w", path, n, line, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, d.name)); !errors.Is(err, os.ErrNotExist) {
			s.done[d.name] = d
		}
	}
	return s, s.write()
}

// write writes the file anew and opens it for lines to come.
func (s *state) write() error {
	file, err := ingest.CreateFile(s.path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it is committed
	for _, d := range s.done {
		if _, err := file.WriteString(d.line()); err != nil {
			return err
		}
	}
	if err := file.Commit(); err != nil {
		return err
	}
	s.f, err = os.OpenFile(s.path, os.O_APPEND|os.O_WRONLY, 0)
	return err
}

// has reports whether a file is done with. If only its status has changed, as by chmod or when a backup links it, a file
// that was read is compared with its fingerprint, and one that could not be read is wanted again. Earlier versions
// stored no status time.
func (s *state) has(st stamp, fingerprint func() (string, error)) bool {
	d, ok := s.done[st.name]
	if !ok || d.size != st.size || d.time != st.time {
		return false
	}
	if d.status == st.status || d.status == 0 {
		return true
	}
	if d.stream == "" {
		return false
	}
	stream, err := fingerprint()
	if err == nil && d.stream != stream && !strings.HasPrefix(d.stream, stream+":") {
		return false
	}
	d.stamp = st
	s.done[st.name] = d // not written before the file is written anew
	return true
}

// add records a file. If that fails, or if another file has taken the place of the state, the next call writes all of it
// anew.
func (s *state) add(d done) (err error) {
	s.done[d.name] = d
	defer func() {
		if err != nil {
			delete(s.done, d.name)
		}
	}()
	if s.f != nil && !s.inPlace() {
		s.drop()
	}
	if s.f == nil {
		return s.write()
	}
	_, err = s.f.WriteString(d.line())
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		s.drop()
	}
	return err
}

// moved reads the state of another folder that has taken the name of the first. What is known of files that are in both
// stays known.
func (s *state) moved(dir string) error {
	now, err := openState(s.path, dir)
	if err != nil {
		return err
	}
	for name, d := range s.done {
		_, known := now.done[name]
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil && !known {
			now.done[name] = d
		}
	}
	_ = s.close() // the file of the other folder
	s.f, s.done = now.f, now.done
	return nil
}

// inPlace reports whether the open file is the one that has the name of the state.
func (s *state) inPlace() bool {
	now, err1 := os.Stat(s.path)
	mine, err2 := s.f.Stat()
	return err1 == nil && err2 == nil && os.SameFile(now, mine)
}

func (s *state) drop() {
	_ = s.f.Close() // what it holds is written again
	s.f = nil
}

func (s *state) close() error {
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}
