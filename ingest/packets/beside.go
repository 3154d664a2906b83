package packets

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// metadata of Ouster sensors is a JSON file beside the recording.
const (
	metaExt = ".json"
	// maxMetas limits the files beside a recording that are read in search of metadata.
	maxMetas = 64
)

var (
	errNoMeta    = errors.New("found no sensor metadata")
	errNotOuster = errors.New("found no beam_altitude_angles, want the metadata of an Ouster sensor")
)

// isMeta reports whether a calibration file is the metadata of an Ouster.
func isMeta(calibration string) bool { return strings.EqualFold(filepath.Ext(calibration), metaExt) }

// otherCalibration returns the path of a calibration file for a sensor that is not an Ouster.
func otherCalibration(o ingest.Options) string {
	if c := optionsOf(o).Calibration; !isMeta(c) {
		return c
	}
	return ""
}

// ousterBeside reads the metadata that belongs to a recording by its name: the option's, else NAME.json, else those of
// several sensors, NAME_0.json and so on. If there is none, the error is errNoMeta, or that of a file that has such a
// name but cannot be read.
func ousterBeside(path string, o ingest.Options) ([]*ousterMeta, error) {
	if c := optionsOf(o).Calibration; isMeta(c) {
		m, err := readOusterMeta(c)
		return []*ousterMeta{m}, err
	}
	stem := stemOf(path)
	var exact, numbered []string
	for _, name := range metaNames(path) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(name, filepath.Ext(name)), stem)
		digits := strings.TrimLeft(rest, "_-.")
		switch {
		case ok && rest == "":
			exact = append(exact, name)
		case ok && len(digits) < len(rest) && digits != "" && strings.Trim(digits, "0123456789") == "":
			numbered = append(numbered, name)
		}
	}
	metas, err := readMetas(path, exact, true)
	if len(metas) == 0 {
		more, moreErr := readMetas(path, numbered, true)
		if metas = more; errors.Is(err, errNoMeta) {
			err = moreErr
		}
	}
	if len(metas) > 0 {
		return metas, nil
	}
	return nil, err
}

// ousterNear reads the metadata in the folder of a recording that has another name: files whose name begins like the
// recording's or, if there is none, all.
func ousterNear(path string, o ingest.Options) ([]*ousterMeta, error) {
	stem := stemOf(path)
	var alike []string
	all := metaNames(path)
	for _, name := range all {
		other := strings.TrimSuffix(name, filepath.Ext(name))
		if begins(stem, other) || begins(other, stem) {
			alike = append(alike, name)
		}
	}
	metas, err := readMetas(path, alike, false)
	if len(metas) == 0 {
		metas, err = readMetas(path, all, false)
		for _, m := range metas {
			m.taken = slices.ContainsFunc([]string{".pcap", ".pcapng", ".bag", ".db3", ".mcap"}, func(ext string) bool {
				_, err := regular.Stat(filepath.Join(filepath.Dir(path), stemOf(m.file)+ext))
				return err == nil
			})
		}
	}
	if len(metas) == 0 {
		return nil, err
	}
	var names []string
	for _, m := range metas {
		names = append(names, m.file)
	}
	o.Note("sensor metadata is taken from %s, for lack of %s%s", list(names), stem, metaExt)
	return metas, nil
}

// begins reports whether a name continues with something other than a letter or digit.
func begins(long, short string) bool {
	rest, ok := strings.CutPrefix(long, short)
	return ok && short != "" && rest != "" && !unicode.IsLetter(rune(rest[0])) && !unicode.IsDigit(rune(rest[0]))
}

func stemOf(path string) string {
	name := filepath.Base(path)
	for _, packed := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, packed)
	}
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// metaNames lists the JSON files in the folder of a recording.
func metaNames(path string) []string {
	entries, err := regular.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if isMeta(e.Name()) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxMetas)]
}

// readMetas reads those files that are metadata of an Ouster. If none is, the error is that of the first file that is
// damaged, or errNoMeta. Unless named is set, only files that are certainly meant count as damaged.
func readMetas(path string, names []string, named bool) ([]*ousterMeta, error) {
	var out []*ousterMeta
	first := errNoMeta
	for _, name := range names {
		m, err := readOusterMeta(filepath.Join(filepath.Dir(path), name))
		_, syntax := errors.AsType[*json.SyntaxError](err)
		switch {
		case err == nil:
			out = append(out, m)
		case errors.Is(err, errNotOuster) || syntax && !named:
		case errors.Is(first, errNoMeta):
			first = fmt.Errorf("metadata: %w", err)
		}
	}
	return out, first
}
