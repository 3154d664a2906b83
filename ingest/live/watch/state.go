package watch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// stamp tells a file from another of the same name.
type stamp struct {
	name string
	size int64
	time int64 // of the last change, in nanoseconds since 1970
}

func stampOf(info os.FileInfo) stamp {
	return stamp{name: info.Name(), size: info.Size(), time: info.ModTime().UnixNano()}
}

// line is how a stamp is stored.
func (s stamp) line() string { return fmt.Sprintf("%d %d %s\n", s.size, s.time, strconv.Quote(s.name)) }

func parseStamp(line string) (s stamp, err error) {
	parts := strings.SplitN(line, " ", 3)
	if len(parts) != 3 {
		return s, fmt.Errorf("found %.60q, want size, time and name", line)
	}
	var e1, e2, e3 error
	s.size, e1 = strconv.ParseInt(parts[0], 10, 64)
	s.time, e2 = strconv.ParseInt(parts[1], 10, 64)
	s.name, e3 = strconv.Unquote(parts[2])
	if err := errors.Join(e1, e2, e3); err != nil {
		return s, fmt.Errorf("found %.60q, want size, time and name", line)
	}
	return s, nil
}

// state is a file of one line for each file that is done with, appended and synced.
type state struct {
	f    *os.File
	done map[string]stamp
}

// openState reads the state and writes it anew without the files that are gone. A last line without its end was cut
// by a crash: its file is read again.
func openState(path, dir string) (*state, error) {
	s := &state{done: map[string]stamp{}}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		st, err := parseStamp(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, st.name)); err == nil {
			s.done[st.name] = st
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file, err := ingest.CreateFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it is committed
	for _, st := range s.done {
		if _, err := file.WriteString(st.line()); err != nil {
			return nil, err
		}
	}
	if err := file.Commit(); err != nil {
		return nil, err
	}
	s.f, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	return s, err
}

func (s *state) has(st stamp) bool { return s.done[st.name] == st }

func (s *state) add(st stamp) error {
	if _, err := s.f.WriteString(st.line()); err != nil {
		return err
	}
	s.done[st.name] = st
	return s.f.Sync()
}

func (s *state) close() error { return s.f.Close() }
