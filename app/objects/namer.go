package objects

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Namer classifies objects. A nil *Namer does nothing.
type Namer struct {
	classifier *classify.Classifier
	voxels     *voxelize.Voxelizer
	skips      *app.Skips
}

// NewNamer loads the configured model, by default the built-in one of objects. The caller must call Close.
func NewNamer(ctx context.Context, a *app.Env) (*Namer, error) {
	c, v, err := models.Classifier(ctx, a, models.Objects, 1)
	if err != nil {
		return nil, err
	}
	return &Namer{c, v, a.Skips()}, nil
}

// Close stops the network's threads.
func (n *Namer) Close() {
	if n != nil {
		n.classifier.Close()
		n.skips.Flush()
	}
}

// name fills in the classes of the objects of a scene. One that the model cannot take stays without a class, and is
// reported.
func (n *Namer) name(ctx context.Context, s *perception.Scene, objects []Object) error {
	if n == nil || len(objects) == 0 {
		return nil
	}
	var items []classify.Item
	var of []int // the index of the object of each item
	for i := range objects {
		v, err := n.voxels.Volume(s.Sample(i))
		if err != nil {
			n.skips.Add(err)
			continue
		}
		items, of = append(items, classify.Item{Volume: v}), append(of, i)
	}
	results, err := n.classifier.ProcessBatch(ctx, items)
	partial, some := errors.AsType[*pipeline.PartialError](err)
	if err != nil && !some {
		return err
	}
	for j := range items {
		if some && partial.Failed[j] != nil {
			n.skips.Add(&ingest.ItemError{ID: items[j].ID, Err: fmt.Errorf("class: %w", partial.Failed[j])})
			continue
		}
		r, o := &results[j], &objects[of[j]]
		score := rounded(float64(r.Score))
		o.Class, o.Name, o.Score = &r.Class, r.Name, &score
		if r.Unfamiliar || r.Score < leastScore || !plausible(r.Name, o.Size[0], s.Objects[of[j]].Above) {
			o.Name = unknown
		}
	}
	return nil
}

// unknown is the name of an object that is unlike everything that the model was trained on, whose best class has a score
// below leastScore, so that the model would be wrong more often than right, or whose size and height above the ground
// rule its best class out.
const (
	unknown    = "unknown"
	leastScore = 0.4
)
