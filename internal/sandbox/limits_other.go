//go:build !unix

package sandbox

// limitResources does nothing here.
func limitResources(Limits) error { return nil }
