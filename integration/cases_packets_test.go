//go:build unix

package integration

// packetCases are the cases of packets and recordings.
var packetCases = []sensorCase{}
