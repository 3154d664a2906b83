//go:build cgo && !nohdf5 && !unix

package h5

// limitResources does nothing here: only the parent's deadline limits a worker.
func limitResources() error { return nil }

func renewCPULimit() error { return nil }
