package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/infer"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// dataset is labelled volumes in memory, one byte per voxel.
type dataset struct {
	index   []uint8
	labels  []int32
	dims    [3]int
	palette *colormap.Palette
	// unlabelled and bad rows are left out.
	unlabelled, bad int
	firstBad        error
}

func (d *dataset) data() *train.Data {
	return &train.Data{Index: d.index, Palette: infer.Plan(d.palette), Labels: d.labels}
}

// classes is one more than the largest label.
func (d *dataset) classes() int {
	most := int32(0)
	for _, l := range d.labels {
		most = max(most, l)
	}
	return int(most) + 1
}

// balance weighs each class of the model by the inverse of its share: rows / (classes * rows of the class); 1 where it has none.
func (d *dataset) balance(m *nn.Model) []float64 {
	outputs := m.Outputs()[0].Shape
	weights := make([]float64, max(2, outputs[len(outputs)-1]))
	counts := make([]int, len(weights))
	for _, l := range d.labels {
		if int(l) < len(counts) {
			counts[l]++
		}
	}
	for c, n := range counts {
		weights[c] = 1
		if n > 0 {
			weights[c] = float64(len(d.labels)) / float64(len(counts)*n)
		}
	}
	return weights
}

func (d *dataset) add(v *voxelize.Volume) {
	if v.Label < 0 {
		d.unlabelled++
		return
	}
	d.index = append(d.index, v.Index...)
	d.labels = append(d.labels, v.Label)
}

// empty says why there is nothing to work with.
func (d *dataset) empty(from any) error {
	if len(d.labels) > 0 {
		return nil
	}
	err := fmt.Errorf("%v: found no labelled volume (%d unlabelled, %d bad)", from, d.unlabelled, d.bad)
	if d.firstBad != nil {
		err = fmt.Errorf("%w: %w", err, d.firstBad)
	}
	return err
}

// readData reads labelled volumes. Of an archive with parts it takes the named split, or, where split is empty, the first of prefer that has rows.
func (a *App) readData(ctx context.Context, paths []string, split string, prefer []h5.Split, o voxelize.Options) (*dataset, error) {
	if err := exist(paths); err != nil {
		return nil, err
	}
	v, err := voxelize.New(o)
	if err != nil {
		return nil, err
	}
	d := &dataset{dims: v.Dims(), palette: v.Palette()}
	bar := a.Screen.Progress("rows read")
	defer bar.Done()
	for _, path := range paths {
		if err := a.readInput(ctx, d, path, split, prefer, v, func() { bar.Set(int64(len(d.labels)), 0, "") }); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if d.bad > 0 || d.unlabelled > 0 {
		a.Log.Warn("left out rows", "bad", d.bad, "unlabelled", d.unlabelled, "first error", d.firstBad)
	}
	return d, d.empty(paths)
}

func (a *App) readInput(ctx context.Context, d *dataset, path, split string, prefer []h5.Split, v *voxelize.Voxelizer, progress func()) error {
	f, err := formats.Detect(path)
	if err != nil {
		return err
	}
	splits := []h5.Split{h5.All}
	if f.Name == h5.HDF5.Name {
		splits = append(slices.Clone(prefer), h5.All)
		switch split {
		case "train":
			splits = []h5.Split{h5.Train}
		case "test":
			splits = []h5.Split{h5.Test}
		case "all":
			splits = []h5.Split{h5.All}
		}
	} else if split == "train" || split == "test" {
		return Usage(fmt.Errorf("--split %s: only HDF5 archives have parts, found %s", split, f.Name))
	}
	var first error
	for _, s := range splits {
		var src ingest.Source
		if f.Name == h5.HDF5.Name {
			src, err = h5.Open(ctx, path, h5.Options{Split: s, Options: a.Config.ingestOptions()})
		} else {
			src, err = f.Open(ctx, path, a.Config.ingestOptions())
		}
		if err != nil {
			first = errors.Join(first, err)
			continue
		}
		before := len(d.labels) + d.unlabelled + d.bad
		err = errors.Join(readSource(ctx, d, src, v, progress), src.Close())
		if err != nil || len(d.labels)+d.unlabelled+d.bad > before {
			return err
		}
	}
	return first
}

func readSource(ctx context.Context, d *dataset, src ingest.Source, v *voxelize.Voxelizer, progress func()) error {
	failed, err := eachSample(ctx, src, func(s ingest.Sample) error {
		vol, err := v.Volume(s)
		if err == nil {
			d.add(&vol)
			progress()
		}
		return err
	}, func(err error) {
		if d.firstBad == nil {
			d.firstBad = err
		}
	})
	d.bad += failed
	return err
}

// readTopic reads the labelled volumes that the topic holds now. Volumes that were sent twice are taken once.
func (a *App) readTopic(ctx context.Context, o voxelize.Options) (*dataset, error) {
	palette, err := colormap.ByName(o.Colormap)
	if err != nil {
		return nil, err
	}
	d := &dataset{dims: o.Dims, palette: palette}
	seen := map[string]bool{}
	bar := a.Screen.Progress("volumes read")
	defer bar.Done()
	err = a.withBus(ctx, func(b *bus) error {
		for m, err := range b.client.Records(ctx, a.Config.Kafka.Volumes, false) {
			if err != nil {
				return err
			}
			if err := d.addMessage(m.Value, string(m.Key), m.Verify(), seen); err != nil {
				d.bad++
				if d.firstBad == nil {
					d.firstBad = fmt.Errorf("%s/%d offset %d: %w", m.Topic, m.Partition, m.Offset, err)
				}
			}
			bar.Set(int64(len(d.labels)), 0, "")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if d.bad > 0 || d.unlabelled > 0 {
		a.Log.Warn("left out", "messages", d.bad, "unlabelled", d.unlabelled, "first error", d.firstBad)
	}
	return d, d.empty("topic " + a.Config.Kafka.Volumes)
}

func (d *dataset) addMessage(value []byte, stream string, damage error, seen map[string]bool) error {
	if damage != nil {
		return damage
	}
	batch, err := volarrow.Decode(value, stream)
	if err != nil {
		return err
	}
	if batch.Dims != d.dims || batch.Palette != d.palette.Name {
		return fmt.Errorf("found volumes of %v cells in palette %s, want %v in %s", batch.Dims, batch.Palette, d.dims, d.palette.Name)
	}
	for i := range batch.Volumes {
		if id := batch.Volumes[i].ID(); !seen[id] {
			seen[id] = true
			d.add(&batch.Volumes[i])
		}
	}
	return nil
}

// writeTo writes a file through write, which gets it open.
func writeTo(path string, write func(io.Writer) error) error {
	f, err := ingest.CreateFile(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // after Commit there is nothing to do
	if err := write(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Commit()
}
