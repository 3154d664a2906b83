package medical

import (
	"bytes"
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// DICOM is a single DICOM file: a slice, or the frames of a multi-frame image. Frames become volumes by their
// positions; several at one position become several volumes, by time, echo, diffusion or what else tells them apart.
// Implicit and explicit little-endian, explicit big-endian and deflated transfer syntaxes are supported, and pixels
// compressed with RLE, lossless JPEG or JPEG of 8 bits. For others (JPEG-LS, JPEG 2000) the error names the
// compression. Axes are reoriented to RAS+ as for NIfTI. DICOM PS3.3, PS3.5 and PS3.10,
// https://www.dicomstandard.org/current.
//
// Values are rescaled by the modality lookup table or by slope and intercept, each frame by its own; doses by the dose
// grid scaling; others by the mapping to real world values, if there is one.
var DICOM = ingest.Format{
	Name: "dicom",
	Doc: "implicit, explicit, big endian, deflated, with or without preamble; 1 to 64 bits, 32 and 64-bit floats; " +
		"RLE, lossless JPEG, JPEG of 8 bits; multi-frame and enhanced: geometry and scaling of each frame, one volume " +
		"per time, echo, b-value, stack, segment; rescale, modality lookup table, real world values, dose grids, " +
		"nuclear medicine, Siemens mosaics",
	Assumes: "1 mm for a spacing that is not given; axial slices for an orientation that is not given; the order of " +
		"the frames for positions that are not given; a slope of 1 if it is 0; the values of MONOCHROME1 and of " +
		"palettes stay as stored; the complete frames of a truncated file",
	Refuses:    "colour; JPEG-LS, JPEG 2000, JPEG of 12 bits and video, by name; files without an image, by name",
	Extensions: []string{".dcm"},
	Tested:     "pydicom CT_small.dcm",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		switch {
		case isDICOM(h.Bytes):
			return ingest.Sure
		case !h.IsDir() && (h.Ext == ".dcm" || isBare(h.Bytes)):
			return ingest.Likely
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, o, func(o ingest.Options) ([]ingest.Sample, error) {
			grids, _, err := readFile(path, o)
			if err != nil {
				return nil, err
			}
			samples := make([]ingest.Sample, len(grids))
			for i, g := range grids {
				samples[i] = ingest.Sample{Label: ingest.NoLabel, Data: g}
			}
			return samples, nil
		})
	},
	Inspect: func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		grids, cell, err := readFile(path, o)
		if err != nil {
			return nil, err
		}
		return detail(grids, cell, "mm"), nil
	},
}

// DICOMDir is the file DICOMDIR, which lists the files of a medium. They are found without it.
var DICOMDir = ingest.Format{
	Name:        "dicomdir",
	Doc:         "nothing: it lists DICOM files, which are found without it",
	InspectOnly: errDirectory.Error(),
	Detect: func(h *ingest.Head) ingest.Confidence {
		if isDICOM(h.Bytes) && bytes.Contains(h.Bytes[:min(len(h.Bytes), 512)], []byte(classDirectory)) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, _ ingest.Options) (ingest.Source, error) {
		return nil, fmt.Errorf("%s: %w", path, errDirectory)
	},
	Inspect: func(_ context.Context, path string, _ ingest.Options) (ingest.Detail, error) {
		return nil, fmt.Errorf("%s: %w", path, errDirectory)
	},
}

// readFile reads all volumes of a file, and the voxel sizes of the first in mm.
func readFile(path string, o ingest.Options) (grids []*ingest.Grid, cell []float64, err error) {
	o = o.WithDefaults()
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: dicom: %w", path, err)
		}
	}()
	p, frames, err := parseFrames(data, o)
	if err != nil {
		return nil, nil, err
	}
	if p.frames > o.MaxCells/p.rows/p.cols {
		return nil, nil, fmt.Errorf("found %d frames of %d x %d, limit %d values", p.frames, p.rows, p.cols, o.MaxCells)
	}
	parts, err := volumes(frames, o)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range parts {
		g, c, err := stack(v, o)
		if err != nil {
			return nil, nil, err
		}
		if cell == nil {
			cell = c
		}
		grids = append(grids, g)
	}
	noteShapes(grids, o)
	return grids, cell, nil
}

// parseFrames decodes a file. o must have its defaults set.
func parseFrames(data []byte, o ingest.Options) (*picture, []*frame, error) {
	p, err := parseDICOM(data, o)
	if err != nil {
		return nil, nil, err
	}
	frames, err := p.slices(o)
	return p, frames, err
}
