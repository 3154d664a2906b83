package onnx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
)

// external reads weights from files beside the model, which ONNX names relative to its folder. The zero value has no
// folder and reads nothing.
type external struct {
	root  *os.Root
	files map[string]*os.File
}

// read returns the data of a tensor: n bytes of the file, from the offset on, that its entries state.
func (e *external) read(p *onnxpb.Tensor, n int) ([]byte, error) {
	if e.root == nil {
		return nil, errors.New(
			"its data is in another file; give the path of the model, with that file beside it, or " +
				"save the model with embedded data (torch.onnx.export(..., external_data=False))",
		)
	}
	location, offset, length := "", int64(0), int64(n)
	for _, entry := range p.ExternalData {
		var err error
		switch entry.GetKey() {
		case "location":
			location = filepath.FromSlash(entry.GetValue())
		case "offset":
			offset, err = strconv.ParseInt(entry.GetValue(), 10, 64)
		case "length":
			length, err = strconv.ParseInt(entry.GetValue(), 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("external data: %s is %q, want a number", entry.GetKey(), entry.GetValue())
		}
	}
	if !filepath.IsLocal(location) {
		return nil, fmt.Errorf("its data is in %q, want a file in the folder of the model", location)
	}
	f := e.files[location]
	if f == nil {
		var err error
		if f, _, err = regular.OpenIn(e.root, location); err != nil {
			return nil, fmt.Errorf("its data is in another file: %w", err)
		}
		e.files[location] = f
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if length != int64(n) || offset < 0 || offset > math.MaxInt64-length || offset+length > info.Size() {
		return nil, fmt.Errorf(
			"its data is %d bytes from byte %d of %s, which has %d bytes; want %d bytes",
			length,
			offset,
			location,
			info.Size(),
			n,
		)
	}
	data := make([]byte, n)
	_, err = io.ReadFull(io.NewSectionReader(f, offset, length), data)
	return data, err
}

func (e *external) close() {
	for _, f := range e.files {
		_ = f.Close()
	}
	if e.root != nil {
		_ = e.root.Close()
	}
}
