//go:build !unix

package models

import "io/fs"

// identity returns nothing: files are told apart by their sizes and times.
func identity(fs.FileInfo) string { return "" }
