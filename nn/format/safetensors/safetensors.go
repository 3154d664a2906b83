// Package safetensors reads and writes models as .safetensors files: a table of arrays in JSON, then the arrays. It
// is pure Go, and therefore the model format for programs built without HDF5.
//
// Layout (https://github.com/huggingface/safetensors): the length of the header as 8 little-endian bytes; the
// header, JSON with each array's dtype, shape and offsets; the arrays, little-endian and row-major, without gaps.
// The header's "__metadata__" holds the architecture in Keras 3's format under "config" and our own data under
// "voxelstream". A file without them holds only weights. Arrays have the names of the parameters, such as
// "conv3d/kernel".
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
)

// maxHeader limits the header: the architecture, and about 100 bytes per array.
const maxHeader = config.MaxBytes + 16<<20

// maxArrays limits the arrays of a file: ten of each of the layers that a model may have.
const maxArrays = 100_000

// tensor is one entry of the header.
type tensor struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// file is a parsed file; data is not copied.
type file struct {
	metadata map[string]string
	tensors  map[string]tensor
	data     []byte
}

// Is reports whether data starts like a .safetensors file.
func Is(data []byte) bool {
	return len(data) > 8 && data[8] == '{' && binary.LittleEndian.Uint64(data) <= maxHeader
}

// Decode decodes the model in data.
func Decode(data []byte) (*nn.Model, error) {
	f, err := parse(data)
	if err != nil {
		return nil, err
	}
	architecture, ok := f.metadata["config"]
	if !ok {
		return nil, fmt.Errorf("safetensors: the file has weights but no architecture (metadata %q)", "config")
	}
	m, _, err := config.Unmarshal([]byte(architecture), config.Options{Budget: len(f.data) / 4})
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if err := config.SetExtra(m, []byte(f.metadata[config.ExtraName])); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return m, f.fill(m)
}

// DecodeWeights sets the model's parameters from the arrays in data with the same names. The file must not have
// other arrays.
func DecodeWeights(data []byte, m *nn.Model) error {
	f, err := parse(data)
	if err != nil {
		return err
	}
	return f.fill(m)
}

func parse(data []byte) (*file, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("safetensors: got %d bytes, want at least 8: %w", len(data), io.ErrUnexpectedEOF)
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return nil, fmt.Errorf("safetensors: got a header of %d bytes, want at most %d", n, maxHeader)
	}
	if n > uint64(len(data)-8) {
		return nil, fmt.Errorf("safetensors: got a header of %d bytes in a file of %d: %w", n, len(data), io.ErrUnexpectedEOF)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &raw); err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	if len(raw) > maxArrays {
		return nil, fmt.Errorf("safetensors: header: got %d arrays, want at most %d", len(raw), maxArrays)
	}
	f := &file{tensors: map[string]tensor{}, data: data[8+n:]}
	for name, r := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(r, &f.metadata); err != nil {
				return nil, fmt.Errorf("safetensors: metadata: %w", err)
			}
			continue
		}
		var t tensor
		if err := json.Unmarshal(r, &t); err != nil {
			return nil, fmt.Errorf("safetensors: array %q: %w", name, err)
		}
		f.tensors[name] = t
	}
	return f, f.check()
}

// check requires the arrays to fill the data exactly, as the format does.
func (f *file) check() error {
	names := make([]string, 0, len(f.tensors))
	for name := range f.tensors {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := f.tensors[names[i]].Offsets, f.tensors[names[j]].Offsets
		if a != b {
			return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
		}
		return names[i] < names[j]
	})
	at := 0
	for _, name := range names {
		t := f.tensors[name]
		if t.Offsets[0] != at || t.Offsets[1] < at {
			return fmt.Errorf("safetensors: array %q: got data_offsets %v, want a start at %d", name, t.Offsets, at)
		}
		if t.Offsets[1] > len(f.data) {
			return fmt.Errorf("safetensors: array %q: got data_offsets %v in %d bytes of data: %w", name, t.Offsets,
				len(f.data), io.ErrUnexpectedEOF)
		}
		at = t.Offsets[1]
	}
	if at != len(f.data) {
		return fmt.Errorf("safetensors: got %d bytes of data, want %d for the arrays", len(f.data), at)
	}
	return nil
}

// fill copies the arrays to the parameters.
func (f *file) fill(m *nn.Model) error {
	params := m.Params()
	for _, p := range params {
		t, ok := f.tensors[p.Name]
		switch {
		case !ok:
			return fmt.Errorf("safetensors: array %q is not in the file", p.Name)
		case t.DType != "F32":
			return fmt.Errorf("safetensors: array %q: got dtype %q, want F32", p.Name, t.DType)
		case !slices.Equal(t.Shape, p.Shape) || t.Offsets[1]-t.Offsets[0] != 4*len(p.Value):
			return fmt.Errorf("safetensors: array %q: got shape %v in %d bytes, want %v", p.Name, t.Shape,
				t.Offsets[1]-t.Offsets[0], p.Shape)
		}
	}
	if len(params) != len(f.tensors) {
		return fmt.Errorf("safetensors: got %d arrays, want the %d of model %q", len(f.tensors), len(params), m.Name)
	}
	for _, p := range params {
		data := f.data[f.tensors[p.Name].Offsets[0]:]
		for i := range p.Value {
			p.Value[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	}
	return nil
}

// Encode writes the model. The output is deterministic.
func Encode(w io.Writer, m *nn.Model) error {
	architecture, err := config.Marshal(m, false)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	extra, err := config.Extra(m)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	header := map[string]any{"__metadata__": map[string]string{
		"format": "keras", "config": string(architecture), config.ExtraName: string(extra),
	}}
	at := 0
	for _, p := range m.Params() {
		header[p.Name] = tensor{DType: "F32", Shape: p.Shape, Offsets: [2]int{at, at + 4*len(p.Value)}}
		at += 4 * len(p.Value)
	}
	out, err := writeHeader(w, header)
	if err != nil {
		return err
	}
	for _, p := range m.Params() {
		out = out[:0]
		for _, v := range p.Value {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// writeHeader writes the length of the header and the header, so that the arrays start at a multiple of 8. It returns
// its buffer.
func writeHeader(w io.Writer, header any) ([]byte, error) {
	head, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	head = append(head, bytes.Repeat([]byte(" "), (8-len(head)%8)%8)...)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	_, err = w.Write(append(out, head...))
	return out, err
}

// Rewrite writes the model in data, the content of a file, with the metadata of m and everything else unchanged.
func Rewrite(w io.Writer, data []byte, m *nn.Model) error {
	f, err := parse(data)
	if err != nil {
		return err
	}
	extra, err := config.Extra(m)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	header := map[string]any{}
	for name, t := range f.tensors {
		header[name] = t
	}
	metadata := maps.Clone(f.metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[config.ExtraName] = string(extra)
	header["__metadata__"] = metadata
	if _, err := writeHeader(w, header); err != nil {
		return err
	}
	_, err = w.Write(f.data)
	return err
}
