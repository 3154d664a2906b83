// Package integration tests whole processes and other people's programs.
package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// python is the interpreter that VOXELSTREAM_PYTHON names, or skips the test.
func python(t *testing.T, module string) string {
	t.Helper()
	path := os.Getenv("VOXELSTREAM_PYTHON")
	if path == "" {
		t.Skip("VOXELSTREAM_PYTHON does not name a Python with " + module + " (scripts/python-env makes one)")
	}
	if out, err := exec.Command(path, "-c", "import "+module).CombinedOutput(); err != nil {
		t.Skipf("%s has no %s: %s", path, module, out)
	}
	return path
}

// readByPyarrow prints what pyarrow sees in a volume message.
const readByPyarrow = `
import json, sys
import numpy as np
import pyarrow as pa

with pa.ipc.open_stream(sys.argv[1]) as reader:
    table = reader.read_all()
table.validate(full=True)
voxels = table.column("voxels").combine_chunks()
tensors = voxels.to_numpy_ndarray()
print(json.dumps({
    "type": type(voxels.type).__name__,
    "names": voxels.type.dim_names,
    "element": str(voxels.type.value_type),
    "shape": tensors.shape,
    "sum": int(tensors.astype(np.int64).sum()),
    "first_of_layer": tensors[1, 2, 0, 0].item(),
    "columns": [f"{f.name}: {f.type}" for f in table.schema],
    "metadata": {k.decode(): v.decode() for k, v in table.schema.metadata.items()},
    "seq": table.column("seq").to_pylist(),
    "time": table.column("time").cast(pa.int64()).to_pylist(),
    "label": table.column("label").to_pylist(),
    "origin": table.column("origin").to_pylist(),
    "points": table.column("points").to_pylist(),
}))
`

func TestPyarrowSeesTensors(t *testing.T) {
	py := python(t, "pyarrow")
	dims := [3]int{3, 4, 5}
	vs := make([]voxelize.Volume, 2)
	sum := 0
	for i := range vs {
		vs[i] = voxelize.Volume{
			ID: record.ID{Stream: "scan", Seq: 1<<63 + uint64(i)}, Label: int32(i) - 1, Dims: dims,
			Index:   make([]uint8, 60),
			Content: voxelize.PaletteContent("Oranges"),
			Origin:  [3]float64{690000.125, 5300000.5, float64(i) - 0.75}, Edge: 0.5, Points: 4e9 + uint32(i),
			Outside: 7,
		}
		for j := range vs[i].Index {
			vs[i].Index[j] = uint8(100*i + j)
			sum += 100*i + j
		}
	}
	vs[0].Time = time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.UTC)
	b, err := volarrow.Encode(nil, vs)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "volumes.arrow")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(py, "-c", readByPyarrow, path).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	got := decodeJSON(t, out)
	expected, err := json.Marshal(map[string]any{
		"type": "FixedShapeTensorType", "names": []string{"D", "H", "W"}, "element": "uint8",
		"shape": []int{2, 3, 4, 5}, "sum": sum,
		"first_of_layer": 100 + 2*20,
		"columns": []string{
			"voxels: extension<arrow.fixed_shape_tensor[value_type=uint8, shape=[3,4,5], dim_names=[D,H,W]]>",
			"seq: uint64",
			"time: timestamp[ns, tz=UTC]", "label: int32", "origin: fixed_size_list<item: double>[3]",
			"edge: float", "points: uint32", "outside: uint32",
		},
		"metadata": map[string]string{
			volarrow.KeyVersion: "1", volarrow.KeyPalette: "Oranges",
			volarrow.KeyDims: "3,4,5",
		},
		"seq": []uint64{1 << 63, 1<<63 + 1}, "time": []any{vs[0].Time.UnixNano(), nil}, "label": []int{-1, 0},
		"origin": [][3]float64{vs[0].Origin, vs[1].Origin}, "points": []uint32{4e9, 4e9 + 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range decodeJSON(t, expected) {
		if !reflect.DeepEqual(got[k], want) {
			t.Errorf("%s: pyarrow sees %v, want %v", k, got[k], want)
		}
	}
}

// decodeJSON keeps numbers as they are written: a float64 would round the largest sequence numbers.
func decodeJSON(t *testing.T, b []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return m
}
