package stream

import (
	"context"
	"sync"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// finding returns src and the stage that makes a volume of each object in its samples. Grids have no objects, so each
// of them becomes one volume, as without this stage.
func finding(a *app.Env, v *voxelize.Voxelizer, src pipeline.Source[ingest.Sample]) (pipeline.Source[ingest.Sample],
	pipeline.Stage[ingest.Sample, voxelize.Volume], error,
) {
	if err := a.Config.Perception.Options.Finding(); err != nil {
		return nil, nil, app.Usage(err)
	}
	detector, err := perception.New(a.Config.Perception.Options)
	if err != nil {
		return nil, nil, err
	}
	turns := newTurns()
	whole := voxelizing(a, v)
	stage := func(ctx context.Context, s ingest.Sample) ([]voxelize.Volume, error) {
		if isGrid(s) {
			return whole.Process(ctx, s)
		}
		turn := turns.of(s.ID)
		a.Live.Sample(&s)
		scene, err := detector.Detect(ctx, s)
		if err := turn.begin(ctx); err != nil {
			return nil, err
		}
		if err == nil {
			err = detector.Follow(ctx, scene)
		}
		turn.end()
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, pipeline.Permanent(err)
		}
		a.Live.Objects(s.ID, len(scene.Objects))
		return volumesOf(scene, v)
	}
	return &inTurn{src, turns}, pipeline.StageFunc[ingest.Sample, voxelize.Volume](stage), nil
}

func isGrid(s ingest.Sample) bool {
	_, grid := s.Data.(*ingest.Grid)
	return grid
}

// volumesOf returns a volume of each object of a scene.
func volumesOf(scene *perception.Scene, v *voxelize.Voxelizer) ([]voxelize.Volume, error) {
	out := make([]voxelize.Volume, len(scene.Objects))
	for i := range out {
		o := &scene.Objects[i]
		vol, err := v.Volume(scene.Sample(i))
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		vol.Compact()
		box, distance := o.Box, o.Distance
		vol.Box, vol.Track, vol.Pose = &box, o.Track, scene.Pose
		vol.Distance, vol.Velocity = &distance, o.Velocity
		out[i] = vol
	}
	return out, nil
}

// inTurn is a source that gives each sample in which objects are looked for its turn.
type inTurn struct {
	pipeline.Source[ingest.Sample]
	turns *turns
}

// Read reads the next sample.
func (s *inTurn) Read(ctx context.Context) (pipeline.Delivery[ingest.Sample], error) {
	d, err := s.Source.Read(ctx)
	if err == nil && !isGrid(d.Value) {
		s.turns.add(d.Value.ID)
	}
	return d, err
}

// turns lets workers that process samples at the same time do one part of the work one after another, in the order in
// which the samples of a stream were read.
type turns struct {
	mu sync.Mutex
	// waiting has the turns of the samples that were read and are not in work yet, in their order. A sample may be
	// read again while it is in flight.
	waiting map[record.ID][]*turn
	// last has the latest turn of each stream with a turn that has not ended.
	last map[string]*turn
}

func newTurns() *turns { return &turns{waiting: map[record.ID][]*turn{}, last: map[string]*turn{}} }

// turn is the turn of a sample. It begins when the one before it in its stream has ended.
type turn struct {
	turns  *turns
	stream string
	before *turn // nil for the first
	ended  chan struct{}
}

// add adds a turn for a sample that was read.
func (t *turns) add(id record.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := &turn{turns: t, stream: id.Stream, before: t.last[id.Stream], ended: make(chan struct{})}
	t.last[id.Stream] = next
	t.waiting[id] = append(t.waiting[id], next)
}

// of returns the turn of a sample. The caller begins and ends it, unless everything stops.
func (t *turns) of(id record.ID) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.waiting[id]
	if len(list) == 1 {
		delete(t.waiting, id)
	} else {
		t.waiting[id] = list[1:]
	}
	return list[0]
}

// begin waits until the turn begins.
func (u *turn) begin(ctx context.Context) error {
	if u.before == nil {
		return nil
	}
	select {
	case <-u.before.ended:
		u.before = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end ends the turn, after it has begun.
func (u *turn) end() {
	u.turns.mu.Lock()
	defer u.turns.mu.Unlock()
	if u.turns.last[u.stream] == u {
		delete(u.turns.last, u.stream)
	}
	close(u.ended)
}
