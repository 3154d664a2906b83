//go:build !linux && !darwin

package watch

import "os"

// statusTime returns 0: the system reports no such time.
func statusTime(os.FileInfo) int64 { return 0 }
