//go:build unix

package integration

// medicalCases are the cases of DICOM and NIfTI.
var medicalCases = []sensorCase{
	{
		folder: "02-dicom-enhanced-ct-functional-groups",
		learned: "Enhanced images have rescaling, spacing, orientation and positions in functional groups, shared or " +
			"per frame.",
		args: []string{"inspect", "--json", "enh_ct.dcm"},
		out:  []string{`"shape":[4,6,5]`, `"min":0,"max":329`, `"cell":[2.5,0.5,0.7]`},
	},
	{
		folder:  "04-dicom-enhanced-4d-collapsed",
		learned: "Frames at one position belong to different volumes, here by their temporal position.",
		args:    []string{"inspect", "--json", "enh_4d.dcm"},
		out:     []string{`"rows":2,"shape":[3,4,4]`, `"cell":[4,2,2]`, "2 volumes by temporal position"},
	},
	{
		folder:  "05-dicom-folder-without-extension",
		learned: "Files of a series often have no extension, so DICOM is recognized by its signature.",
		args:    []string{"convert", "ct", "o.npz"},
		out:     []string{"o.npz: 1 sample"},
	},
	{
		folder:  "05-dicom-folder-without-extension",
		learned: "Inspect and convert see the same series.",
		args:    []string{"inspect", "--json", "ct"},
		out:     []string{`"format":"dicom-series"`, `"rows":1,"shape":[4,8,8]`},
	},
	{
		folder:  "08-rtdose-scaling-and-offsets",
		learned: "A dose is the stored value times the dose grid scaling, in planes at the grid frame offsets.",
		args:    []string{"inspect", "--json", "rtdose.dcm"},
		out:     []string{`"max":59,`, `"cell":[2.5,3,2]`, "values are doses: unit GY"},
	},
	{
		folder:  "28-nifti-nan-background",
		learned: "Masked maps have NaN outside of the brain, which is background and no reason to lose the volume.",
		args:    []string{"voxelize", "nanvox.nii", "--out", "v.npy", "--grid", "4"},
		out:     []string{"1 volume of 4x4x4 cells", "2 of 24 values are NaN or infinite"},
	},
	{
		folder:  "28-nifti-nan-background",
		learned: "The range of values is that of the finite ones.",
		args:    []string{"inspect", "--json", "nanvox.nii"},
		out:     []string{`"min":1,"max":23`, `"2 of 24 values are NaN or infinite"`},
	},
	{
		folder:  "56-nifti-known-but-unsupported",
		learned: "A header with the mark of its format is recognized whatever it holds, so that the reader's reason is shown.",
		args:    []string{"inspect", "rgba.nii", "c64.nii", "pnan.nii", "dim40.nii", "fs.nii"},
		exit:    1,
		out: []string{
			"datatype 2304 (RGBA) is not supported", "datatype 32 (complex64) is not supported",
			"pixdim[1] is NaN: 1 is assumed", "cell    [4 3 1] mm", "dim[4] is 0: 1 is assumed",
			"dim[1]: found -1, want at least 1", "3 of 5 files",
		},
		not: []string{"format fits"},
	},
	{
		folder:  "58-dicom-orientation-jitter",
		learned: "Direction cosines are computed anew for each slice, so slices of one volume differ in the last digits.",
		args:    []string{"inspect", "--json", "ct"},
		out:     []string{`"rows":1,"shape":[4,8,8]`},
	},
	{
		folder:  "59-dicom-folder-with-rtstruct",
		learned: "Exports hold structure sets, plans and reports beside a series, which are passed over and told.",
		args:    []string{"convert", "ct", "o.npz"},
		out:     []string{"o.npz: 1 sample", "passed over RS.dcm: found no pixels: it is not an image (RT structure set)"},
	},
	{
		folder:  "61-dicom-float-pixels",
		learned: "Parametric maps have pixels that are floating-point numbers, in an element of their own.",
		args:    []string{"inspect", "--json", "float.dcm"},
		out:     []string{`"shape":[1,3,4]`, `"min":0,"max":11`},
	},
}
