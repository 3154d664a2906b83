//go:build unix

package integration

// cloudCases are the cases of point clouds and meshes.
var cloudCases = []sensorCase{}
