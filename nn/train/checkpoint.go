package train

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/nn"
)

// A checkpoint is a safetensors file: eight bytes with the length of a JSON header, the header, and the
// concatenated arrays. The arrays are the model's parameters, the optimizer's state and, if kept, the best weights.
// The rest of the state is JSON in the header's __metadata__, with a checksum of the arrays.

// position is the training state without the arrays.
type position struct {
	Version  int               `json:"version"`
	Settings map[string]string `json:"settings"`
	// Epoch and Row are the next to train on. Loss and Correct are sums over the epoch's rows so far.
	Epoch      int      `json:"epoch"`
	Row        int      `json:"row"`
	Step       uint64   `json:"step"`
	Loss       float64  `json:"loss"`
	Correct    int      `json:"correct"`
	Iterations int64    `json:"iterations"`
	Rate       float64  `json:"rate"`
	History    *History `json:"history"`
	Stopper    stopper  `json:"early_stopping"`
	Plateau    plateau  `json:"plateau"`
	// Stream is the position at which a stream resumes.
	Stream json.RawMessage `json:"stream,omitempty"`
}

const checkpointVersion = 1

// maxHeader limits the size of a checkpoint's header.
const maxHeader = 64 << 20

// tensor is an array of a checkpoint.
type tensor struct {
	name  string
	shape nn.Shape
	value []float32
}

// entry describes a tensor in the header.
type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// metadata is __metadata__; safetensors allows only strings in it.
type metadata struct {
	State    string `json:"state"`
	Checksum string `json:"crc32c"`
}

// ErrCheckpoint is wrapped by the errors of a checkpoint that cannot be resumed.
var ErrCheckpoint = errors.New("cannot resume")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writeCheckpoint replaces the checkpoint: after a crash path is either the old one or the new one.
func writeCheckpoint(path string, p *position, tensors []tensor) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoint %s: %w", path, err)
		}
	}()
	out, err := durable.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	data := pack(tensors)
	header, err := encodeHeader(p, tensors, crc32.Checksum(data, castagnoli))
	if err != nil {
		return err
	}
	f, err := out.Open()
	if err != nil {
		return err
	}
	for _, b := range [][]byte{binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header, data} {
		if _, err := f.Write(b); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return out.Commit()
}

// pack returns the arrays as bytes.
func pack(tensors []tensor) []byte {
	size := 0
	for _, t := range tensors {
		size += 4 * len(t.value)
	}
	data := make([]byte, 0, size)
	for _, t := range tensors {
		for _, v := range t.value {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	return data
}

func entries(tensors []tensor) map[string]entry {
	all, at := map[string]entry{}, int64(0)
	for _, t := range tensors {
		end := at + 4*int64(len(t.value))
		all[t.name] = entry{"F32", slices.Clone(t.shape), [2]int64{at, end}}
		at = end
	}
	return all
}

func encodeHeader(p *position, tensors []tensor, checksum uint32) ([]byte, error) {
	state, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	header := map[string]any{"__metadata__": metadata{string(state), fmt.Sprintf("%08x", checksum)}}
	for name, e := range entries(tensors) {
		header[name] = e
	}
	return json.Marshal(header)
}

// CheckpointSettings returns, by name, the settings that must be unchanged to resume a checkpoint. It returns nil
// if there is no file.
func CheckpointSettings(path string) (map[string]string, error) {
	f, _, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	p, _, _, err := decodePosition(f)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w: %w", path, ErrCheckpoint, err)
	}
	return p.Settings, nil
}

// readCheckpoint reads the checkpoint's arrays into tensors, whose names and shapes must match, and returns the
// rest of the state. It returns nil if there is no file.
func readCheckpoint(path string, settings map[string]string, tensors []tensor) (*position, error) {
	f, _, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // a missing checkpoint is not an error
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	p, err := decodeCheckpoint(f, settings, tensors)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w: %w", path, ErrCheckpoint, err)
	}
	return p, nil
}

func decodeCheckpoint(r io.Reader, settings map[string]string, tensors []tensor) (*position, error) {
	p, arrays, checksum, err := decodePosition(r)
	if err != nil {
		return nil, err
	}
	if err := sameSettings(p.Settings, settings); err != nil {
		return nil, err
	}
	return p, readTensors(r, arrays, tensors, checksum)
}

// decodePosition reads the header: the state, the descriptions of the arrays, and their checksum.
func decodePosition(r io.Reader) (p *position, arrays map[string]json.RawMessage, checksum string, err error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, nil, "", fmt.Errorf("header: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, nil, "", fmt.Errorf("header: found %d bytes, the limit is %d", n, maxHeader)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, nil, "", fmt.Errorf("header: %w", err)
	}
	var meta metadata
	p = &position{}
	if err = json.Unmarshal(text, &arrays); err == nil {
		err = json.Unmarshal(arrays["__metadata__"], &meta)
	}
	if err == nil {
		err = json.Unmarshal([]byte(meta.State), p)
	}
	if err != nil {
		return nil, nil, "", fmt.Errorf("header: %w", err)
	}
	if p.Version != checkpointVersion || p.History == nil || p.Epoch < 1 || p.Row < 0 {
		return nil, nil, "", fmt.Errorf("found version %d, epoch %d, row %d; want version %d and a valid position in "+
			"the training", p.Version, p.Epoch, p.Row, checkpointVersion)
	}
	delete(arrays, "__metadata__")
	return p, arrays, meta.Checksum, nil
}

// readTensors reads exactly the given arrays, in order.
func readTensors(r io.Reader, header map[string]json.RawMessage, tensors []tensor, checksum string) error {
	want := entries(tensors)
	for name, raw := range header {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("array %q: %w", name, err)
		}
		if w, ok := want[name]; !ok || e.Type != w.Type || e.Offsets != w.Offsets || !slices.Equal(e.Shape, w.Shape) {
			return fmt.Errorf("array %q: found %s %v at %v, want %s %v at %v", name, e.Type, e.Shape, e.Offsets,
				w.Type, w.Shape, w.Offsets)
		}
	}
	if len(header) != len(want) {
		return fmt.Errorf("found %d arrays, want %d", len(header), len(want))
	}
	var data []byte
	for _, t := range tensors {
		data = append(data, make([]byte, 4*len(t.value))...)
	}
	if _, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("arrays: %w", err)
	}
	if got := fmt.Sprintf("%08x", crc32.Checksum(data, castagnoli)); got != checksum {
		return fmt.Errorf("arrays: found checksum %s, want %s: the file is damaged", got, checksum)
	}
	for _, t := range tensors {
		for i := range t.value {
			t.value[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		data = data[4*len(t.value):]
	}
	return nil
}

// sameSettings names the first setting that differs.
func sameSettings(found, want map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if found[name] != want[name] {
			return fmt.Errorf("%s: the checkpoint has %s, this run has %s", name, cmp.Or(found[name], "none"),
				cmp.Or(want[name], "none"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%s: the checkpoint has %s, this run has none", name, found[name])
		}
	}
	return nil
}

// digestModel returns a digest of the model's layers and weights and of the optimizer's state.
func digestModel(m *nn.Model, o *Optimizer) uint64 {
	h := crc64.New(crc64.MakeTable(crc64.ECMA))
	for _, l := range m.Layers() {
		_, _ = io.WriteString(h, l.Class()+text(l.Config()))
	}
	var tensors []tensor
	for _, p := range m.Params() {
		_, _ = io.WriteString(h, p.Name)
		tensors = append(tensors, tensor{value: p.Value})
	}
	for _, s := range o.State() {
		tensors = append(tensors, tensor{value: s.Value})
	}
	_, _ = h.Write(pack(tensors))
	return h.Sum64()
}

// text returns a value as JSON with sorted keys.
func text(v any) string {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
