package learn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/claimcheck"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/report"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// dataset holds labelled volumes as rows of a model's input, in memory or, above the memory limit, in a temporary file.
// A row is one byte per voxel for palette indices, and float32 for values. Labels and IDs are always in memory.
type dataset struct {
	limit  int64
	input  *classify.Input
	index  []uint8
	values []float32
	file   *spill
	row    []float32 // buffer for one row of values
	labels []int32
	ids    []record.ID // of the rows
	// objects has the values of messages that are too large for Kafka; retry says how often they are asked for.
	objects *claimcheck.Store
	retry   pipeline.Retry
	// ranges records which part of a topic was read. It is empty for files.
	ranges string
	// parts names the part of each archive that was read.
	parts map[string]h5.Split
	// unlabelled and bad count skipped rows.
	unlabelled, bad int
	firstBad        error
	// naming has the names of the classes, as far as the data or the model have any.
	naming
	// ranged reports grids with values outside 0..1 that were mapped by their own range.
	ranged bool
	// files are the outcomes of the files that were read; nil for a topic.
	files []app.FileOutcome
	// notes are those about files, by path.
	notes map[string][]string
	// digits makes the rows, if they are not read from files or a topic.
	digits *digits
	// augmentation augments the rows for training; nil if there is none.
	augmentation *augmentation
}

// classes returns the number of names, or one more than the largest label if that is more.
func (d *dataset) classes() int {
	most := int32(0)
	for _, l := range d.labels {
		most = max(most, l)
	}
	return max(int(most)+1, len(d.names))
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

// add adds a volume, or counts it if it has no label. A volume that the model does not take is an error.
func (d *dataset) add(v *voxelize.Volume) error {
	if v.Label < 0 {
		d.unlabelled++
		return nil
	}
	if d.input.Channels == 0 {
		d.input.Channels = v.Content.Channels
	}
	if err := d.input.Check(v); err != nil {
		return &ingest.ItemError{ID: v.ID, Err: err}
	}
	d.labels = append(d.labels, v.Label)
	d.ids = append(d.ids, v.ID)
	n, indices := d.input.Size()
	if indices {
		return grow(d, &d.index, v.Index)
	}
	if len(d.row) != n {
		d.row = make([]float32, n)
	}
	if err := d.input.Put(d.row, v); err != nil {
		return err
	}
	return grow(d, &d.values, d.row)
}

// empty returns an error that explains why there are no rows.
func (d *dataset) empty(from any) error {
	if len(d.labels) > 0 {
		return nil
	}
	if len(d.files) == 1 && d.files[0].Status == app.FileFailed && d.bad == 0 {
		return fmt.Errorf("%s: %s", d.files[0].File, d.files[0].Error)
	}
	err := fmt.Errorf("%v: no labelled volumes found (%d unlabelled, %d unreadable)", from, d.unlabelled, d.bad)
	if len(d.files) > 1 {
		err = fmt.Errorf("%w in %s: %s", err, app.Count(len(d.files), "file"), app.CountFiles(d.files))
	}
	for _, f := range d.files {
		if f.Status == app.FileFailed {
			return fmt.Errorf("%w: %s: %s", err, f.File, f.Error)
		}
	}
	switch {
	case d.firstBad != nil:
		err = fmt.Errorf("%w: %w", err, d.firstBad)
	case d.unlabelled > 0 && len(d.files) > 0:
		err = fmt.Errorf("%w: labels are read from the file of the data: --labels names their array, and "+
			`numpy.savez("data.npz", x_train=x, y_train=y) writes both into one file`, err)
	}
	return err
}

// readData reads labelled volumes that a model takes, made by the configured voxelizer; sizes and values follow the
// model. From an archive with parts it reads the given split or, if split is empty, the first of prefer that has rows.
// names are those of the classes. The augmentation may be nil.
func readData(ctx context.Context, a *app.Env, paths []string, split string, prefer []h5.Split, in *classify.Input,
	names naming, g *augmentation,
) (*dataset, error) {
	splits := append(slices.Clone(prefer), h5.All)
	switch split {
	case "":
	case "all":
		splits = []h5.Split{h5.All}
	case string(h5.Train), string(h5.Val), string(h5.Test):
		splits = []h5.Split{h5.Split(split)}
	default:
		return nil, app.Usage(fmt.Errorf("--split: found %q%s, want train, val, test or all", split,
			option.DidYouMean(split, Splits())))
	}
	inputs, err := input.ParseFiles(paths)
	if err != nil {
		return nil, err
	}
	o, err := models.Volumes(a, in)
	if err != nil {
		return nil, err
	}
	v, err := voxelize.New(o)
	if err != nil {
		return nil, err
	}
	d := newDataset(a, in, g)
	d.parts, d.naming = map[string]h5.Split{}, names
	bar := a.Bar("rows read")
	defer bar.Done()
	list := &input.Files{}
	for file, tally := range list.Of(ctx, a, inputs) {
		r := reading{
			env: a, set: d, file: file, tally: tally, explicit: split != "", voxelizer: v,
			progress: func() { bar.Set(int64(len(d.labels)), 0, "") },
		}
		unlabelled := d.unlabelled
		if err := r.read(ctx, splits); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", file, err), d.close())
		}
		if n := d.unlabelled - unlabelled; n > 0 {
			d.note(file.String(), app.Count(n, "row")+" without a label")
		}
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), d.close())
	}
	d.files = list.List()
	return finished(a, d, strings.Join(paths, ", "))
}

// within returns an error that names the first row whose label is not that of a class.
func (d *dataset) within(classes int) error {
	for i, label := range d.labels {
		if int(label) >= classes {
			return fmt.Errorf("%v: found label %d, want 0 to %d, the classes of the model", d.ids[i], label, classes-1)
		}
	}
	return nil
}

// note records a note about a file.
func (d *dataset) note(file, text string) {
	if d.notes == nil {
		d.notes = map[string][]string{}
	}
	d.notes[file] = append(d.notes[file], text)
}

// reported returns the outcomes of the files for a report.
func (d *dataset) reported() []report.File {
	var out []report.File
	for _, f := range d.files {
		out = append(out, report.File{
			File: f.File, Status: f.Word(), Rows: int(f.Rows + f.Failed), Classified: int(f.Rows),
			Failed: int(f.Failed), Error: f.Error, Notes: d.notes[f.File],
		})
	}
	return out
}

// volume returns a row as a volume.
func (d *dataset) volume(row int) (voxelize.Volume, error) {
	n, indices := d.input.Size()
	b := &train.Batch{Labels: make([]int32, 1), Weights: make([]float32, 1)}
	if indices {
		b.Index = make([]uint8, n)
	} else {
		b.X = make([]float32, n)
	}
	if err := d.rows().Read(row, b); err != nil {
		return voxelize.Volume{}, err
	}
	v := d.input.Volume(b.X, b.Index)
	v.ID, v.Label = d.ids[row], b.Labels[0]
	return v, nil
}

// newDataset keeps rows in memory up to half of the limit. The other half is for the blocks that training reads from a
// file. With points to augment, which get half of the limit, the rows and blocks get a quarter each.
func newDataset(a *app.Env, in *classify.Input, g *augmentation) *dataset {
	d := &dataset{limit: int64(a.Config.Train.MemoryLimit) / 2, input: in, augmentation: g}
	if g != nil && g.clouds != nil {
		d.limit /= 2
	}
	return d
}

// maxFileWarnings is the number of files about which there is a warning. A folder may have thousands that cannot be
// read.
const maxFileWarnings = 20

// complete returns an error if a file that the user has named could not be read. It logs the other files that were not
// used completely.
func (d *dataset) complete(a *app.Env, named []string) error {
	odd := slices.DeleteFunc(app.Remarkable(d.files), func(f app.FileOutcome) bool { return f.Status == app.FileSkipped })
	for i, f := range odd {
		switch {
		case f.Status == app.FileFailed && f.Failed == 0 && slices.Contains(named, f.File):
			return fmt.Errorf("%s: %s", f.File, f.Error)
		case i < maxFileWarnings:
			a.Log.Warn("a file was not used completely", "file", f.File, "status", f.Status, "error", f.Error)
		case i == maxFileWarnings:
			a.Log.Warn("further files were not used completely", "files", len(odd)-i)
		}
	}
	return nil
}

// finished completes the reading of d and logs what was skipped.
func finished(a *app.Env, d *dataset, from any) (*dataset, error) {
	if d.bad > 0 {
		a.Log.Warn("skipped rows", "bad", d.bad, "first error", d.firstBad)
	}
	if d.unlabelled > 0 {
		a.Log.Warn("skipped rows without a label (label -1 means none)", "unlabelled", d.unlabelled)
	}
	err := errors.Join(d.empty(from), d.finish())
	if g := d.augmentation; err == nil && g != nil && g.clouds != nil {
		err = g.clouds.finish()
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	if d.file != nil || d.augmentation != nil && d.augmentation.clouds != nil && d.augmentation.clouds.file != nil {
		a.Log.Info("dataset exceeds the memory limit; keeping it in a temporary file and shuffling in blocks", "rows",
			len(d.labels), "memory limit", a.Config.Train.MemoryLimit)
	}
	return d, nil
}

// reading is the reading of one file.
type reading struct {
	env       *app.Env
	set       *dataset
	file      input.Input
	tally     *app.FileTally
	explicit  bool // the user asked for a part
	voxelizer *voxelize.Voxelizer
	progress  func()
	format    string
	// failed is an error that is not due to the file.
	failed error
}

// read reads the first of the parts that has rows. A file that cannot be read, or of which nothing can be used, has that
// as its outcome. All other errors are returned.
func (r *reading) read(ctx context.Context, splits []h5.Split) error {
	splits, err := r.parts(ctx, splits)
	if err == nil {
		err = r.first(ctx, splits)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.failed != nil:
		return r.failed
	case app.IsUsage(err) && r.file.Named():
		return err
	case app.IsUsage(err):
		r.tally.End(app.FileSkipped, err.Error())
	case err != nil:
		r.tally.End(app.FileFailed, err.Error())
	}
	return nil
}

// parts returns the parts to look for in the file.
func (r *reading) parts(ctx context.Context, splits []h5.Split) ([]h5.Split, error) {
	if err := r.file.Err(); err != nil {
		return nil, err
	}
	f, err := formats.Detect(ctx, r.file.String(), r.env.Config.Ingest)
	if err != nil {
		return nil, err
	}
	r.format = f.Name
	switch named := ingest.ReaderOptions(r.env.Config.Ingest, array.Options{}).Part != ""; {
	case f.Name != h5.HDF5.Name && f.Name != array.NPZ.Name:
		if r.explicit && splits[0] != h5.All {
			return nil, app.Usage(fmt.Errorf("--split %s: only HDF5 and .npz archives have parts, and this is a %s file",
				splits[0], f.Name))
		}
		return []h5.Split{h5.All}, nil
	case named && f.Name == array.NPZ.Name:
		if r.explicit {
			return nil, app.Usage(errors.New("found --split and --part, want one of them"))
		}
		return []h5.Split{h5.All}, nil
	}
	return splits, nil
}

// first reads the first of the parts that has rows.
func (r *reading) first(ctx context.Context, splits []h5.Split) error {
	d, path := r.set, r.file.String()
	var missing error
	for _, s := range splits {
		src, err := openPart(ctx, r.env.Reading(), r.file, r.format, s)
		if errors.Is(err, ingest.ErrNoPart) {
			missing = cmp.Or(missing, err)
			continue
		}
		if err != nil {
			return err
		}
		whole, known := src.(ingest.Sized)
		if known && r.env.Rows.All() {
			d.reserve(whole.Len())
		}
		if !known || whole.Len() > 0 { // otherwise the rows of another part are meant
			src = r.env.Rows.Of(src)
		}
		before, unlabelled := len(d.labels)+d.bad, d.unlabelled
		err = errors.Join(r.rows(ctx, src), src.Close())
		used, without := len(d.labels)+d.bad-before, d.unlabelled-unlabelled
		if err == nil && used+without == 0 {
			continue
		}
		d.parts[path] = s
		if s != h5.All {
			if s == h5.Train && splits[0] != s {
				r.env.Log.Info("no test part: evaluating the training part; if the model was trained on it, the result says "+
					"little", "file", path)
			} else {
				r.env.Log.Info("rows of an archive", "file", path, "part", s)
			}
			d.note(path, "part "+string(s))
		}
		if err == nil && used == 0 {
			r.tally.End(app.FileSkipped, fmt.Sprintf("none of %s has a label", app.Count(without, "row")))
		}
		return err
	}
	return cmp.Or(missing, errors.New("found no sample"))
}

// hasPart reports whether an archive has a part.
func hasPart(ctx context.Context, a *app.Env, path string, s h5.Split) bool {
	inputs, err := input.ParseFiles([]string{path})
	if err != nil {
		return false
	}
	f, err := formats.Detect(ctx, path, a.Config.Ingest)
	if err != nil {
		return false
	}
	src, err := openPart(ctx, a.Config.Ingest, inputs[0], f.Name, s)
	return err == nil && src.Close() == nil
}

// openPart opens a part of a file of a format.
func openPart(ctx context.Context, reading ingest.Options, file input.Input, format string, s h5.Split,
) (ingest.Source, error) {
	switch {
	case format == h5.HDF5.Name:
		return formats.Opened(ctx, file.String(), reading, func(o ingest.Options) (ingest.Source, error) {
			return h5.Open(ctx, file.String(), h5.Options{Options: o, Split: s})
		})
	case s != h5.All:
		reading = reading.Clone()
		reading.Readers = append([]any{&array.Options{Part: string(s)}}, reading.Readers...)
	}
	return file.OpenWith(ctx, reading)
}

func (r *reading) rows(ctx context.Context, src ingest.Source) error {
	d := r.set
	names := ingest.ClassesOf(ctx, src)
	failed, err := ingest.Each(ctx, src, func(s ingest.Sample) error {
		if err := d.relabel(&s, names); err != nil {
			return err
		}
		vol, err := r.voxelizer.Volume(s)
		if err == nil {
			r.progress()
			labels := len(d.labels)
			err = d.add(&vol)
			if added := len(d.labels) - labels; added > 0 && d.augmentation != nil {
				err = d.augmentation.add(&s, r.voxelizer)
			}
			r.tally.Used(len(d.labels) - labels)
		}
		if _, item := errors.AsType[*ingest.ItemError](err); err != nil && !item {
			r.failed = err
		}
		if g, ok := s.Data.(*ingest.Grid); ok && err == nil && !d.ranged && d.input.Palette != nil &&
			d.input.Values == voxelize.PaletteIndices && g.Window[0] >= g.Window[1] {
			d.ranged = slices.Min(g.Values) < 0 || slices.Max(g.Values) > 1
		}
		return err
	}, func(err error) {
		if d.firstBad == nil {
			d.firstBad = err
		}
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			err = fmt.Errorf("row %d: %w", item.Seq, item.Err)
		}
		r.tally.FailedRow(err)
	})
	d.bad += failed
	return err
}

// topicSetting is the checkpoint setting that records which part of a topic was read.
const topicSetting = "topic"

// readTopic reads the labelled volumes that the topic holds now or, when resuming, held when training started.
// Duplicates are skipped.
func readTopic(ctx context.Context, a *app.Env, in *classify.Input, o TrainOptions, g *augmentation,
) (_ *dataset, err error) {
	d := newDataset(a, in, g)
	if g != nil {
		if err := g.useGrids(); err != nil {
			return nil, err
		}
	}
	bar := a.Bar("volumes read")
	defer bar.Done()
	d.objects, d.retry = a.ClaimCheck(), pipeline.Retry{Attempts: a.Config.Pipeline.Attempts}
	defer func() { err = errors.Join(err, d.objects.Close()) }()
	err = stream.Reading(ctx, a, a.Config.Kafka.Volumes, func(client *kafka.Client) error {
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
			if err := d.addMessage(ctx, &m, seen); err != nil {
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

// addMessage adds the labelled volumes of a message. Bad messages and volumes are counted, and are not errors.
func (d *dataset) addMessage(ctx context.Context, m *transport.Message, seen map[string]bool) error {
	bad := func(err error) {
		d.bad++
		if d.firstBad == nil {
			d.firstBad = fmt.Errorf("%s/%d offset %d: %w", m.Topic, m.Partition, m.Offset, err)
		}
	}
	batch, err := decode(ctx, d.objects, d.retry, m)
	if pipeline.IsPermanent(err) {
		bad(err)
		return nil
	} else if err != nil {
		return err
	}
	for i := range batch.Volumes {
		id := batch.Volumes[i].ID.String()
		if seen[id] {
			continue
		}
		seen[id] = true
		err := d.add(&batch.Volumes[i])
		if _, item := errors.AsType[*ingest.ItemError](err); item {
			bad(err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// decode decodes the volumes of a message, or of the object that it refers to. An error that is not permanent is that of
// the place of the objects.
func decode(ctx context.Context, objects *claimcheck.Store, retry pipeline.Retry, m *transport.Message,
) (volarrow.Batch, error) {
	if err := m.Verify(); err != nil {
		return volarrow.Batch{}, pipeline.Permanent(err)
	}
	var value []byte
	_, err := retry.Do(ctx, func(ctx context.Context) (err error) {
		value, err = objects.Value(ctx, m)
		return err
	})
	if err != nil {
		return volarrow.Batch{}, err
	}
	batch, err := volarrow.Decode(value, string(m.Key))
	return batch, pipeline.Permanent(err)
}

// Splits lists the parts of an archive that a command can use.
func Splits() []string { return []string{string(h5.Train), string(h5.Val), string(h5.Test), "all"} }
