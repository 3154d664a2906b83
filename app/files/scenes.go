package files

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/dataset/scenes"
)

// ObjectsSummary is the result of generate with scenes.
type ObjectsSummary struct {
	File   string `json:"file"`
	Scenes int    `json:"scenes"`
	// Objects counts the objects, Classes those of each class.
	Objects int            `json:"objects"`
	Classes map[string]int `json:"classes"`
	Seed    uint64         `json:"seed"`
	Seconds float64        `json:"seconds"`
}

// GenerateObjects writes an archive of labelled objects from simulated scenes.
func GenerateObjects(ctx context.Context, a *app.Env, count int, out string) (_ *ObjectsSummary, err error) {
	if err := checkArchive(out); err != nil {
		return nil, err
	}
	if count < 1 {
		return nil, app.Usage(fmt.Errorf("--objects: found %d, want at least 1", count))
	}
	if err := a.Config.Perception.Options.Finding(); err != nil {
		return nil, app.Usage(err)
	}
	release, err := a.ClaimOutputs(nil, out)
	if err != nil {
		return nil, err
	}
	defer release()
	start := time.Now()
	o := scenes.Options{
		Scenes: count, Seed: a.Config.Seed, Workers: a.Threads(), Perception: a.Config.Perception.Options,
	}
	archive, err := scenes.Create(out, o)
	if err != nil {
		return nil, err
	}
	bar := a.Bar("scenes")
	defer bar.Done()
	s := &ObjectsSummary{File: out, Scenes: count, Classes: archive.Rows, Seed: o.Seed}
	if err := scenes.Generate(ctx, o, func(object *scenes.Object) error {
		s.Objects++
		bar.Set(int64(object.Scene), int64(count), "")
		return archive.Write(object)
	}); err != nil {
		archive.Abort()
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	s.Seconds = time.Since(start).Seconds()
	return s, nil
}

// checkArchive checks the name of an archive to write.
func checkArchive(out string) error {
	switch extension := strings.ToLower(filepath.Ext(out)); {
	case out == "":
		return app.Usage(errors.New("missing --out FILE, the file to write"))
	case !slices.Contains(archiveExtensions, extension):
		return app.Usage(fmt.Errorf("--out: found extension %q, want %s", filepath.Ext(out),
			strings.Join(archiveExtensions, " or ")))
	}
	return nil
}
