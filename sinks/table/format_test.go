package table_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// plain is a format for the tests of staged sinks: a JSON document per row, and a last line that completes the file.
var plain = table.Format{
	Name: "plain", Doc: "JSON.", Extensions: []string{".plain"},
	Create: func(path string, _ any) (table.Writer, error) {
		f, err := os.Create(path)
		return &plainWriter{bufio.NewWriter(f), f}, err
	},
	Open: func(path string) (table.Reader, error) {
		f, err := os.Open(path)
		return &plainReader{bufio.NewReader(f), f}, err
	},
}

const plainEnd = "end\n"

type plainWriter struct {
	w    *bufio.Writer
	file *os.File
}

func (w *plainWriter) Write(cs []record.Classification) error {
	for i := range cs {
		if err := json.NewEncoder(w.w).Encode(&cs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *plainWriter) Close() error {
	_, err := w.w.WriteString(plainEnd)
	return errors.Join(err, w.w.Flush(), w.file.Close())
}

type plainReader struct {
	r    *bufio.Reader
	file *os.File
}

func (r *plainReader) Read(dst []record.Classification) (int, error) {
	for i := range dst {
		line, err := r.r.ReadBytes('\n')
		switch {
		case string(line) == plainEnd && i > 0:
			r.r.Reset(strings.NewReader(plainEnd))
			return i, nil
		case string(line) == plainEnd:
			return 0, io.EOF
		case err != nil:
			return i, fmt.Errorf("incomplete: %w", io.ErrUnexpectedEOF)
		}
		dst[i] = record.Classification{}
		if err := json.Unmarshal(line, &dst[i]); err != nil {
			return i, err
		}
	}
	return len(dst), nil
}

func (r *plainReader) Close() error { return r.file.Close() }
