//go:build unix

package integration

// medicalCases are the cases of DICOM and NIfTI.
var medicalCases = []sensorCase{
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
		learned: "A header with the mark of its format is recognised whatever it holds, so that the reader's reason is shown.",
		args:    []string{"inspect", "rgba.nii", "c64.nii", "pnan.nii", "dim40.nii", "fs.nii"},
		exit:    1,
		out: []string{
			"datatype 2304 (RGBA) is not supported", "datatype 32 (complex64) is not supported",
			"pixdim[1] is NaN: 1 is assumed", "cell    [4 3 1] mm", "dim[4] is 0: 1 is assumed",
			"dim[1]: found -1, want at least 1", "3 of 5 files",
		},
		not: []string{"format fits"},
	},
}
