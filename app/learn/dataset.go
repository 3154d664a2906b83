package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// dataset holds labelled volumes, one byte per voxel, in memory or, above the memory limit, in a temporary file.
// Labels are always in memory.
type dataset struct {
	limit   int64
	index   []uint8
	file    *spill
	labels  []int32
	dims    [3]int
	palette *colormap.Palette
	// ranges records which part of a topic was read. It is empty for files.
	ranges string
	// unlabelled and bad count skipped rows.
	unlabelled, bad int
	firstBad        error
}

// classes returns one more than the largest label.
func (d *dataset) classes() int {
	most := int32(0)
	for _, l := range d.labels {
		most = max(most, l)
	}
	return int(most) + 1
}

// paired checks that rows come in pairs of one class, with none missing.
func (d *dataset) paired() error {
	if d.bad+d.unlabelled > 0 || len(d.labels)%2 != 0 {
		return fmt.Errorf("found %d rows and skipped %d, want complete pairs", len(d.labels), d.bad+d.unlabelled)
	}
	for i := 0; i < len(d.labels); i += 2 {
		if d.labels[i] != d.labels[i+1] {
			return fmt.Errorf("rows %d and %d have the labels %d and %d, want pairs of one class", i, i+1, d.labels[i],
				d.labels[i+1])
		}
	}
	return nil
}

// balance returns a weight for each class of the model, inversely proportional to its frequency: rows / (classes *
// rows of the class), or 1 for a class without rows.
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

func (d *dataset) add(v *voxelize.Volume) error {
	if v.Label < 0 {
		d.unlabelled++
		return nil
	}
	d.labels = append(d.labels, v.Label)
	return d.grow(v.Index)
}

// empty returns an error that explains why there are no rows.
func (d *dataset) empty(from any) error {
	if len(d.labels) > 0 {
		return nil
	}
	err := fmt.Errorf("%v: no labelled volumes found (%d unlabelled, %d unreadable)", from, d.unlabelled, d.bad)
	if d.firstBad != nil {
		err = fmt.Errorf("%w: %w", err, d.firstBad)
	}
	return err
}

// readData reads labelled volumes. From an archive with parts it reads the given split or, if split is empty, the
// first of prefer that has rows.
func readData(ctx context.Context, a *app.Env, paths []string, split string, prefer []h5.Split,
	o voxelize.Options,
) (*dataset, error) {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	if o.Values == voxelize.RawValues {
		return nil, app.Usage(errors.New("voxelize.values: found raw, want palette, because training and evaluation " +
			"use palette indices"))
	}
	v, err := voxelize.New(o)
	if err != nil {
		return nil, err
	}
	d := newDataset(a, v.Dims(), v.Palette())
	bar := a.Bar("rows read")
	defer bar.Done()
	for _, path := range paths {
		if err := readInput(ctx, a, d, path, split, prefer, v,
			func() { bar.Set(int64(len(d.labels)), 0, "") }); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.close())
		}
	}
	return finished(a, d, paths)
}

// newDataset keeps rows in memory up to half of the limit. The other half is for the blocks that training reads from a
// file.
func newDataset(a *app.Env, dims [3]int, palette *colormap.Palette) *dataset {
	return &dataset{limit: int64(a.Config.Train.MemoryLimit) / 2, dims: dims, palette: palette}
}

// finished completes the reading of d and logs what was skipped.
func finished(a *app.Env, d *dataset, from any) (*dataset, error) {
	if d.bad > 0 || d.unlabelled > 0 {
		a.Log.Warn("skipped rows", "bad", d.bad, "unlabelled", d.unlabelled, "first error", d.firstBad)
	}
	if err := errors.Join(d.empty(from), d.finish()); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if d.file != nil {
		a.Log.Info("data set exceeds the memory limit; keeping it in a temporary file and shuffling in blocks", "rows",
			len(d.labels), "memory limit", a.Config.Train.MemoryLimit)
	}
	return d, nil
}

func readInput(ctx context.Context, a *app.Env, d *dataset, path, split string, prefer []h5.Split,
	v *voxelize.Voxelizer, progress func(),
) error {
	f, err := formats.Detect(ctx, path, a.Config.Ingest)
	if err != nil && !errors.Is(err, ingest.ErrFormat) { // ErrFormat: also a folder of files
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
		return app.Usage(fmt.Errorf("--split %s: only HDF5 archives have parts, and this is a %s file", split, f.Name))
	}
	var first error
	for _, s := range splits {
		var src ingest.Source
		if f.Name == h5.HDF5.Name {
			src, err = h5.Open(ctx, path, h5.Options{Split: s, Options: a.Reading()})
		} else {
			src, err = formats.Open(ctx, path, a.Reading())
		}
		if err != nil {
			first = errors.Join(first, err)
			continue
		}
		before := len(d.labels) + d.unlabelled + d.bad
		if sized, ok := src.(ingest.Sized); ok {
			d.reserve(sized.Len())
		}
		err = errors.Join(readSource(ctx, d, src, v, progress), src.Close())
		if err != nil || len(d.labels)+d.unlabelled+d.bad > before {
			return err
		}
	}
	return first
}

func readSource(ctx context.Context, d *dataset, src ingest.Source, v *voxelize.Voxelizer, progress func()) error {
	failed, err := ingest.Each(ctx, src, func(s ingest.Sample) error {
		vol, err := v.Volume(s)
		if err == nil {
			progress()
			err = d.add(&vol)
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

// topicSetting is the checkpoint setting that records which part of a topic was read.
const topicSetting = "topic"

// readTopic reads the labelled volumes that the topic holds now or, when resuming, held when training started.
// Duplicates are skipped.
func readTopic(ctx context.Context, a *app.Env, vo voxelize.Options, o TrainOptions) (*dataset, error) {
	palette, err := colormap.ByName(string(vo.Colormap))
	if err != nil {
		return nil, err
	}
	d := newDataset(a, vo.Dims, palette)
	bar := a.Bar("volumes read")
	defer bar.Done()
	err = stream.WithClient(ctx, a, func(client *kafka.Client) error {
		ranges, err := rangesOf(ctx, a, client, o)
		if err != nil {
			return err
		}
		d.ranges = ranges.String()
		seen := map[string]bool{}
		for m, err := range client.Range(ctx, ranges.Topic, ranges.From, ranges.To) {
			if err != nil {
				return err
			}
			if err := d.addMessage(&m, seen); err != nil {
				return err
			}
			bar.Set(int64(len(d.labels)), 0, "")
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return finished(a, d, "topic "+a.Config.Kafka.Volumes)
}

// topicRanges is a part of a topic: for each partition, the first offset and the one after the last.
type topicRanges struct {
	Topic string  `json:"topic"`
	From  []int64 `json:"from"`
	To    []int64 `json:"to"`
}

func (r *topicRanges) String() string {
	text, _ := json.Marshal(r) // strings and numbers can always be marshalled
	return string(text)
}

// rangesOf returns the ranges that the topic holds now or, when resuming, those recorded in the checkpoint.
func rangesOf(ctx context.Context, a *app.Env, client *kafka.Client, o TrainOptions) (*topicRanges, error) {
	r := &topicRanges{Topic: a.Config.Kafka.Volumes}
	if o.Resume {
		settings, err := train.CheckpointSettings(o.Checkpoint)
		if err != nil {
			return nil, err
		}
		was := &topicRanges{}
		if json.Unmarshal([]byte(settings[topicSetting]), was) == nil && was.Topic == r.Topic &&
			len(was.From) == len(was.To) {
			return was, nil
		}
	}
	var err error
	r.From, r.To, err = client.Bounds(ctx, r.Topic)
	return r, err
}

// addMessage adds the labelled volumes of a message. A bad message is counted, and is not an error.
func (d *dataset) addMessage(m *transport.Message, seen map[string]bool) error {
	batch, err := d.decode(m)
	if err != nil {
		d.bad++
		if d.firstBad == nil {
			d.firstBad = fmt.Errorf("%s/%d offset %d: %w", m.Topic, m.Partition, m.Offset, err)
		}
		return nil
	}
	for i := range batch.Volumes {
		if id := batch.Volumes[i].ID.String(); !seen[id] {
			seen[id] = true
			if err := d.add(&batch.Volumes[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// decode decodes the volumes of a message. They must have the dims and palette of d.
func (d *dataset) decode(m *transport.Message) (b volarrow.Batch, err error) {
	if err := m.Verify(); err != nil {
		return b, err
	}
	b, err = volarrow.Decode(m.Value, string(m.Key))
	if err != nil {
		return b, err
	}
	if want := voxelize.PaletteContent(d.palette.Name); b.Dims != d.dims || b.Content != want {
		return b, fmt.Errorf("found volumes of %s cells with %v, want %s cells with %v",
			option.Dims(b.Dims).Cells(), b.Content, option.Dims(d.dims).Cells(), want)
	}
	return b, nil
}
