//go:build unix

package integration

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// readTable prints what pyarrow sees in a table.
const readTable = `
import json, sys
import numpy as np
import pyarrow as pa, pyarrow.parquet, pyarrow.feather

path = sys.argv[1]
table = pa.parquet.read_table(path) if path.endswith(".parquet") else pa.feather.read_table(path)
table.validate(full=True)
out = {"columns": table.column_names, "rows": table.num_rows, "metadata": {k.decode(): v.decode() for k, v in table.schema.metadata.items()}}
out["types"] = {f.name: str(f.type.value_type if pa.types.is_list(f.type) or pa.types.is_fixed_size_list(f.type) else f.type) for f in table.schema}
if "values" in table.column_names:
    v = np.stack(table.column("values").to_numpy(zero_copy_only=False))
    out["shape"], out["sum"] = v.shape, float(v.astype(np.float64).sum())
else:
    out["bounds"] = [[float(f(table.column(c).to_numpy())) for c in "xyz"] for f in (np.min, np.max)]
print(json.dumps(out))
`

// TestPyarrowReadsTables: pyarrow sees in the tables that convert writes what inspect sees in the file that they were
// made of.
func TestPyarrowReadsTables(t *testing.T) {
	py := python(t, "pyarrow")
	w := &world{t: t, bin: voxelstream(t), dir: t.TempDir()} // no model is wanted
	values, sum := make([]float32, 3*2*4*5), 0.0
	for i := range values {
		values[i] = float32(i) / 8
		sum += float64(values[i])
	}
	grids := w.write("grids.npy", npyOf([]int{3, 2, 4, 5}, values))
	points := testenv.Sample(t, "lidar/las/laspy_simple1_4.las")
	seen := w.json("inspect", points, "--json")
	for _, out := range []string{"t.parquet", "t.feather"} {
		w.do(0, "convert", points, w.path(out))
		got := pyarrowSees(t, py, w.path(out))
		if got["rows"] != seen["count"] || !reflect.DeepEqual(got["bounds"], []any{seen["min"], seen["max"]}) {
			t.Errorf("%s: pyarrow sees %v rows in %v, inspect %v in %v, %v", out, got["rows"], got["bounds"],
				seen["count"], seen["min"], seen["max"])
		}
		types := map[string]any{
			"sample": "uint32", "x": "double", "y": "double", "z": "double", "intensity": "float",
			"red": "uint8", "green": "uint8", "blue": "uint8",
		}
		if !reflect.DeepEqual(got["types"], types) {
			t.Errorf("%s: pyarrow sees %v, want %v", out, got["types"], types)
		}
		w.do(0, "convert", grids, w.path("g"+out))
		got = pyarrowSees(t, py, w.path("g"+out))
		if !reflect.DeepEqual(got["shape"], []any{3., 40.}) || got["sum"] != sum {
			t.Errorf("%s: pyarrow sees grids of %v, sum %v, want 3 of 40 values, sum %v", out, got["shape"], got["sum"],
				sum)
		}
		if !reflect.DeepEqual(got["metadata"],
			map[string]any{"voxelstream.kind": "grids", "voxelstream.dims": "2,4,5,1"}) {
			t.Errorf("%s: pyarrow sees metadata %v", out, got["metadata"])
		}
	}
}

func pyarrowSees(t *testing.T, py, path string) (got map[string]any) {
	t.Helper()
	out, err := exec.Command(py, "-c", readTable, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}
