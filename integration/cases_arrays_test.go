//go:build unix

package integration

// arrayCases are the cases of HDF5 and NumPy arrays.
var arrayCases = []sensorCase{}
