package packets

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// readBeams reads a calibration table: a CSV with a header and rows of laser (from 1), elevation and azimuth in
// degrees, or of elevation and azimuth only, in the order of the lasers.
func readBeams(name string, lasers int) ([]beam, error) {
	data, err := ingest.ReadFile(name, ingest.Options{MaxBytes: hesaiMaxTable})
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	beams, known := make([]beam, lasers), make([]bool, lasers)
	found := 0
	for i, row := range rows {
		if len(row) == 2 {
			row = append([]string{strconv.Itoa(found + 1)}, row...)
		}
		if i == 0 && strings.ContainsAny(row[0], "aeiou") || len(row) == 1 {
			continue // the header, or an end-of-file marker
		}
		id, err1 := strconv.Atoi(strings.TrimSpace(row[0]))
		elevation, err2 := strconv.ParseFloat(strings.TrimSpace(row[1]), 64)
		azimuth, err3 := strconv.ParseFloat(strings.TrimSpace(row[2]), 64)
		if err := errors.Join(err1, err2, err3); err != nil || id < 1 || id > lasers {
			return nil, fmt.Errorf("%s, row %d: found %q, want a laser from 1 to %d, elevation and azimuth", name, i+1, row, lasers)
		}
		if !known[id-1] {
			found++
		}
		known[id-1], beams[id-1] = true, beam{elevation, azimuth}
	}
	if found != lasers {
		return nil, fmt.Errorf("%s: found %d lasers, want %d", name, found, lasers)
	}
	return beams, nil
}
