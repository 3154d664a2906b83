//go:build !unix

package jsonl

import "os"

// lock does nothing where there is no flock: two writers of one file are then the user's to avoid.
func lock(*os.File) error { return nil }
