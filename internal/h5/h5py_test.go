//go:build cgo && !nohdf5

package h5

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestH5py lets h5py read what we write, where VOXELSTREAM_PYTHON names an interpreter that has it.
func TestH5py(t *testing.T) {
	python := os.Getenv("VOXELSTREAM_PYTHON")
	if python == "" {
		t.Skip("VOXELSTREAM_PYTHON does not name a Python with h5py")
	}
	w, path := create(t)
	must(t, WriteDataset(w, "/X_train", Layout{Dims: []int{20, 512}, Gzip: 4}, ramp[float64](20*512)))
	must(t, WriteDataset(w, "/y_train", Layout{Dims: []int{20}}, ramp[int64](20)))
	must(t, WriteDataset(w, "/5/img", Layout{Dims: []int{30, 30}, Gzip: 4}, ramp[uint8](900)))
	must(t, w.SetAttr("/5", "label", 3))
	must(t, WriteDataset(w, "/scalar", Layout{}, []float32{1.5}))
	must(t, WriteDataset(w, "/none", Layout{Dims: []int{0, 3}}, []float32{}))
	grow, err := AddDataset[float32](w, "/grow", Layout{Dims: []int{0, 7, 5}, Grow: true, Gzip: 4})
	must(t, err)
	for range 3 {
		must(t, grow.Append(ramp[float32](70)))
	}
	must(t, w.SetAttr("/", "model_config", "{\"grüße\": 1}"))
	must(t, w.SetAttr("/", "layer_names", []string{"conv3d", "dense"}))
	must(t, w.SetAttr("/", "weight_names", []string{}))
	must(t, w.SetAttr("/", "rate", 0.25))
	must(t, w.SetAttr("/", "ints", []int64{1, 2}))
	must(t, w.Close())
	out, err := exec.Command(python, filepath.Join("testdata", "check.py"), path).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
