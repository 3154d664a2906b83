//go:build unix

package integration

// medicalCases are the cases of DICOM and NIfTI.
var medicalCases = []sensorCase{}
