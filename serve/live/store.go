package live

import (
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
)

// item is what is shown of a sample. It does not change once it is offered to clients.
type item struct {
	id     record.ID
	sample *ingest.Sample   // nil if another process read it
	volume *voxelize.Volume // nil until it is decoded
	size   int              // of both in bytes
	at     time.Time

	classification record.Classification
	boxes          []frame.Box
	names          []string // of the classes
	// number counts the classifications of the stream.
	number uint64

	mu      sync.Mutex
	encoded []encoded // by limit; there are few
}

type encoded struct {
	limit   int
	header  frame.Header
	payload *frame.Payload
}

// frame returns header and payload of the frame with at most limit points. It is computed once per limit.
func (x *item) frame(limit int) (frame.Header, *frame.Payload) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := slices.IndexFunc(x.encoded, func(e encoded) bool { return e.limit == limit }); i >= 0 {
		return x.encoded[i].header, x.encoded[i].payload
	}
	e := encoded{limit: limit, header: frame.Of(x.id), payload: &frame.Payload{}}
	c := x.classification
	e.header.Classification, e.header.Label, e.header.Boxes = &c, c.Label, x.boxes
	e.header.ClassNames = x.names
	e.payload.AddVolume(&e.header, x.volume)
	if x.sample != nil {
		e.payload.AddSensor(&e.header, x.sample, limit)
	}
	x.encoded = append(x.encoded, e)
	return e.header, e.payload
}

// sampleOf returns a copy of the sample that shares its data.
func sampleOf(s *ingest.Sample) *ingest.Sample {
	c := *s
	if _, grid := c.Data.(*ingest.Grid); grid {
		c.Data = nil // the volume shows it
	}
	return &c
}

// sizeOfSample returns the size of the data that sampleOf keeps in memory, in bytes.
func sizeOfSample(s *ingest.Sample) int {
	switch d := s.Data.(type) {
	case *ingest.PointCloud:
		return 8*3*len(d.X) + 4*len(d.Intensity) + 3*len(d.R)
	case *ingest.Frame:
		return 4*len(d.Depth) + 4*len(d.Color)
	}
	return 0
}

// volumeOf returns a copy of a volume, whose memory may be that of a whole message.
func volumeOf(v *voxelize.Volume) *voxelize.Volume {
	c := *v
	c.Index, c.Values = slices.Clone(v.Index), slices.Clone(v.Values)
	return &c
}

func sizeOfVolume(v *voxelize.Volume) int { return len(v.Index) + 4*len(v.Values) }

// store holds items that wait for their classification. Its zero value is empty. If it is full, a new item is refused:
// the older ones will be classified first.
type store struct {
	items map[record.ID]*item
	order []*item // oldest first; those that were taken are removed when they are the oldest
	size  int
}

func (s *store) len() int { return len(s.items) }

func (s *store) get(id record.ID) *item { return s.items[id] }

// fits drops the items that are too old and reports whether there is room for x.
func (s *store) fits(x *item) bool {
	n := 0
	for _, y := range s.order {
		old := x.at.Sub(y.at) > maxAge
		if s.items[y.id] == y && !old {
			break
		}
		if old {
			s.remove(y)
		}
		n++
	}
	s.order = slices.Delete(s.order, 0, n)
	return s.items[x.id] == nil && (len(s.items) == 0 || s.size+x.size <= maxStored && len(s.order) < maxItems)
}

// maxItems limits the number of items.
const maxItems = 1 << 14

// add adds an item if there is room.
func (s *store) add(x *item) bool {
	if !s.fits(x) {
		return false
	}
	if s.items == nil {
		s.items = map[record.ID]*item{}
	}
	s.items[x.id] = x
	s.order = append(s.order, x)
	s.size += x.size
	return true
}

// grow adds to the size of an item.
func (s *store) grow(x *item, n int) {
	x.size += n
	s.size += n
}

// passed removes the samples of the scans of a stream before seq, whose objects have all become volumes. The scans
// themselves are never classified.
func (s *store) passed(stream string, seq uint64) {
	for id, x := range s.items {
		if id.Stream == stream && id.Seq < seq && id.Object == 0 && x.volume == nil {
			s.remove(x)
		}
	}
}

func (s *store) remove(x *item) {
	if s.items[x.id] == x {
		delete(s.items, x.id)
		s.size -= x.size
	}
}

// take returns an item and removes it, or returns nil.
func (s *store) take(id record.ID) *item {
	x := s.items[id]
	if x != nil {
		s.remove(x)
	}
	return x
}
