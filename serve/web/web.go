// Package web holds the built page. Its source is in src (TypeScript); `make web` builds dist.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Dist returns the files of the page: index.html, and what it needs in assets.
func Dist() fs.FS {
	f, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is valid
	}
	return f
}
