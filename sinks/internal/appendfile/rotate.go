package appendfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// Rotation are the options for files that are rotated: results.jsonl is renamed to results-000001.jsonl, and a new file
// created. Numbers only ever increase.
type Rotation struct {
	Bytes option.Bytes  `yaml:"rotate_bytes" min:"0B" doc:"File size at which the next write goes to a new file. 0B means no limit."`
	Every time.Duration `yaml:"rotate_every" min:"0s" doc:"Period covered by one file: the first write in a new period goes to a new file. Periods are counted from midnight UTC, so 24h means a file per day. 0s means no limit."`
	Keep  int           `yaml:"keep" min:"0" doc:"Number of rotated files to keep. Older ones are deleted. 0 means all."`
}

func (r Rotation) rotates() bool { return r.Bytes > 0 || r.Every > 0 }

// rotated is a file that was rotated.
type rotated struct {
	path   string
	number int
}

// parts splits results.jsonl.gz into results, .jsonl and .gz.
func parts(path string) (stem, ext, suffix string) {
	stem = filepath.Base(path)
	n := len(stem) - len(compressionOf(stem).suffix)
	stem, suffix = stem[:n], stem[n:]
	ext = filepath.Ext(stem)
	return strings.TrimSuffix(stem, ext), ext, suffix
}

// rotatedFiles returns the files that were rotated, in order. Those that somebody has compressed later are among them.
func (f *File) rotatedFiles() ([]rotated, error) {
	stem, ext, suffix := parts(f.path)
	form := regexp.MustCompile("^" + regexp.QuoteMeta(stem) + `-([0-9]{6,18})` + regexp.QuoteMeta(ext) +
		"(?:" + regexp.QuoteMeta(suffix) + `|\.gz|\.zst)$`)
	dir := filepath.Dir(f.path)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []rotated
	for _, e := range entries {
		if m := form.FindStringSubmatch(e.Name()); m != nil && e.Type().IsRegular() {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, err
			}
			all = append(all, rotated{filepath.Join(dir, e.Name()), n})
		}
	}
	slices.SortStableFunc(all, func(a, b rotated) int { return a.number - b.number })
	return all, nil
}

// loadRotated adds the keys of the files that were rotated.
func (f *File) loadRotated() error {
	if !f.c.Options.rotates() {
		return nil
	}
	all, err := f.rotatedFiles()
	if err != nil {
		return err
	}
	for _, r := range all {
		if err := f.loadKeys(r.path); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(r.path), err)
		}
	}
	return nil
}

func (f *File) loadKeys(path string) error {
	file, info, err := regular.Open(path)
	if err != nil {
		return cause(err)
	}
	defer file.Close() //nolint:errcheck // opened for reading
	l, err := f.scan(file, info.Size(), compressionOf(path))
	if err == nil && l.torn {
		err = fmt.Errorf("offset %d: found an incomplete row at the end", l.good)
	}
	return err
}

// rotate renames the file and creates a new one, if it is time for that.
func (f *File) rotate() error {
	r := f.c.Options
	full := r.Bytes > 0 && f.good >= int64(r.Bytes)
	over := r.Every > 0 && !f.written.Truncate(r.Every).Equal(f.c.now().Truncate(r.Every))
	if f.rows == 0 || !full && !over {
		return nil
	}
	if err := f.cut(); err != nil {
		return err
	}
	all, err := f.rotatedFiles()
	if err != nil {
		return err
	}
	number := 1
	if len(all) > 0 {
		number = all[len(all)-1].number + 1
	}
	stem, ext, suffix := parts(f.path)
	name := fmt.Sprintf("%s-%06d%s%s", stem, number, ext, suffix)
	if err := os.Rename(f.path, filepath.Join(filepath.Dir(f.path), name)); err != nil {
		return fmt.Errorf("cannot rotate the file: %w", err)
	}
	if err := f.reopen(); err != nil {
		return err
	}
	f.prune()
	return nil
}

// prune deletes the oldest files. It is tried again at the next rotation if it fails.
func (f *File) prune() {
	if f.c.Options.Keep == 0 || !f.c.Options.rotates() {
		return
	}
	all, err := f.rotatedFiles()
	for err == nil && len(all) > f.c.Options.Keep {
		err = os.Remove(all[0].path)
		all = all[1:]
	}
	if err != nil {
		f.c.Log.Warn("cannot delete old files", "file", f.path, "error", err)
	}
}
