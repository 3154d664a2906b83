//go:build unix

package integration

// depthCases are the cases of depth images, trajectories, photogrammetry, and inputs of any format.
var depthCases = []sensorCase{}
