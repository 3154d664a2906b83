package mnist3d

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/voxelstream/voxelstream/internal/h5"
)

// Layout is the layout of a dataset in an HDF5 file.
type Layout string

// The layouts of the 3D MNIST archives.
const (
	// Vectors holds voxel grids: X_train (rows, Grid^3) float64, y_train (rows) int64, and X_test and y_test if
	// there are test rows. Values are neither chunked nor compressed, so that they are read at disk speed.
	Vectors Layout = "vectors"
	// Clouds holds a group "0", "1", ... for each row: img (30, 30) uint8, points and normals (N, 3) float64, all
	// gzip, and an attribute label. There is no test part: in the original it is a separate file.
	Clouds Layout = "clouds"
)

// Layouts lists all layouts.
func Layouts() []Layout { return []Layout{Vectors, Clouds} }

// Archive is an HDF5 file being written. It appears under its name when Close succeeds.
type Archive struct {
	file   *h5.Writer
	layout Layout
	x      [2]*h5.Output[float64] // training, testing; nil if there are no rows
	y      [2]*h5.Output[int64]
}

// CreateArchive creates a file for the rows that Generate emits with the same options.
func CreateArchive(path string, l Layout, o Options) (_ *Archive, err error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("mnist3d: %w", err)
	}
	switch {
	case l == Vectors && o.Grid == 0:
		return nil, errors.New("mnist3d: layout vectors needs the size of the grid, found 0")
	case l == Clouds && o.Test > 0:
		return nil, fmt.Errorf("mnist3d: found %d test digits, want 0: layout clouds has no test part", o.Test)
	case l != Vectors && l != Clouds:
		return nil, fmt.Errorf("mnist3d: found layout %q, want one of %v", l, Layouts())
	}
	file, err := h5.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Abort()
		}
	}()
	a := &Archive{file: file, layout: l}
	if err := file.SetAttr("/", "generator", "voxelstream 3D MNIST"); err != nil {
		return nil, err
	}
	if err := file.SetAttr("/", "seed", strconv.FormatUint(o.Seed, 10)); err != nil {
		return nil, err
	}
	if l == Clouds {
		return a, nil
	}
	train, test := o.Rows()
	for part, rows := range [2]int{train, test} {
		if rows == 0 {
			continue
		}
		name := [2]string{"train", "test"}[part]
		if a.x[part], err = h5.AddDataset[float64](file, "/X_"+name,
			h5.Layout{Dims: []int{rows, o.Grid * o.Grid * o.Grid}}); err != nil {
			return nil, err
		}
		if a.y[part], err = h5.AddDataset[int64](file, "/y_"+name, h5.Layout{Dims: []int{rows}}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Write adds the next row. Rows must be in the order of Generate.
func (a *Archive) Write(r Row) error {
	if a.layout == Clouds {
		return a.writeCloud(r)
	}
	part := 0
	if r.Test {
		part = 1
	}
	if a.x[part] == nil {
		return fmt.Errorf("mnist3d: row %d belongs to a part that was created without rows", r.Number)
	}
	if err := a.x[part].Append(r.Values); err != nil {
		return err
	}
	return a.y[part].Append([]int64{int64(r.Label)})
}

func (a *Archive) writeCloud(r Row) error {
	group := "/" + strconv.Itoa(r.Number)
	if err := a.file.Group(group); err != nil {
		return err
	}
	if err := a.file.SetAttr(group, "label", int64(r.Label)); err != nil {
		return err
	}
	const level = 4 // h5py's default
	if err := h5.WriteDataset(a.file, group+"/img", h5.Layout{Dims: []int{Padded, Padded}, Gzip: level},
		r.Image[:]); err != nil {
		return err
	}
	normals := r.Cloud.Normals()
	for _, d := range []struct {
		name    string
		x, y, z []float64
	}{
		{"points", r.Cloud.Points.X, r.Cloud.Points.Y, r.Cloud.Points.Z},
		{"normals", normals.X, normals.Y, normals.Z},
	} {
		rows := make([]float64, 0, 3*len(d.x))
		for i := range d.x {
			rows = append(rows, d.x[i], d.y[i], d.z[i])
		}
		if err := h5.WriteDataset(a.file, group+"/"+d.name, h5.Layout{Dims: []int{len(d.x), 3}, Gzip: level},
			rows); err != nil {
			return err
		}
	}
	return nil
}

// Close completes the file and moves it into place; it is an error if rows are missing.
func (a *Archive) Close() error { return a.file.Close() }

// Abort removes the unfinished file. After Close it does nothing.
func (a *Archive) Abort() { a.file.Abort() }
