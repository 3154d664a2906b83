package laszip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
)

// pointsPerByte is more points than a byte can hold: the likeliest symbols of the four that a point takes at least
// have probabilities of 1-63/32768 and 1-32/32768, which together make 0.0075 bits.
const pointsPerByte = 1100

// block is how many points are handed over at once.
const block = 2048

// chunk is a run of points that is decoded without any other.
type chunk struct {
	at, end int64 // in the file
	count   int
	first   int // index of its first point
}

// Chunks are the compressed points of a file.
type Chunks struct {
	file   []byte
	layout *Layout
	list   []chunk
}

// Find finds the chunks of count points in a file whose points start at an offset. The count is then known to be
// possible, so that memory for the points may be had.
func Find(file []byte, at int64, count int, l *Layout) (*Chunks, error) {
	c := &Chunks{file: file, layout: l}
	if count == 0 {
		return c, nil
	}
	var err error
	c.list, err = l.chunks(file, at, count)
	return c, err
}

// Decode hands all points to emit, in blocks, each with the index of its first point. Chunks are decoded in
// parallel: emit is called from several goroutines, in any order, always with other points, whose memory is used
// again. stop ends decoding with an error.
func (c *Chunks) Decode(stop func() error, emit func(first int, points []Point)) error {
	chunks := c.list
	workers := min(runtime.GOMAXPROCS(0), len(chunks))
	failed, bad := len(chunks), error(nil) // the first chunk that failed, whatever the order of work
	var mu sync.Mutex
	take := 0
	next := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		take++
		return take - 1, take <= failed
	}
	fail := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if i < failed {
			failed, bad = i, fmt.Errorf("chunk %d at offset %d: %w", i, chunks[i].at, err)
		}
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			d := newChunkDecoder(c.layout)
			points := make([]Point, block)
			for i, ok := next(); ok; i, ok = next() {
				if err := chunks[i].decode(d, c.file[chunks[i].at:chunks[i].end], points, stop, emit); err != nil {
					fail(i, err)
				}
			}
		})
	}
	wg.Wait()
	return bad
}

// chunkDecoder keeps the memory of one chunk for the next.
type chunkDecoder interface {
	// begin opens a chunk of count points and gives the first, which is stored plain.
	begin(data []byte, count int, first *Point) error
	// next decodes one more point; failed reports whether what was decoded so far can be trusted.
	next(p *Point)
	failed() bool
}

func newChunkDecoder(l *Layout) chunkDecoder {
	if l.compressor == layeredChunked {
		return newLayered(l)
	}
	return newSerial(l)
}

// decode decodes the chunk in data into points, as many at a time as these hold.
func (c chunk) decode(d chunkDecoder, data []byte, points []Point, stop func() error,
	emit func(first int, points []Point),
) error {
	if err := d.begin(data, c.count, &points[0]); err != nil {
		return err
	}
	from := 1
	for done := 0; done < c.count; {
		if err := stop(); err != nil {
			return err
		}
		n := min(len(points), c.count-done)
		for i := from; i < n; i++ {
			d.next(&points[i])
		}
		if d.failed() {
			return fmt.Errorf("points %d to %d of %d: found what no encoder writes, or the end of the chunk", done,
				done+n-1, c.count)
		}
		emit(c.first+done, points[:n])
		done, from = done+n, 0
	}
	return nil
}

// item is a part of a record in the compressors with one stream.
type item interface {
	// begin starts from the plain bytes of the first record.
	begin(raw []byte)
	// next decodes the part of one more record, and fills in what a Point holds of it.
	next(d *decoder, p *Point)
}

// serial decodes chunks in which the items of a point follow each other in one stream.
type serial struct {
	decoder
	l     *Layout
	items []item
}

func newSerial(l *Layout) *serial {
	s := &serial{l: l}
	for _, h := range l.items {
		s.items = append(s.items, newItem(h))
	}
	return s
}

// newItem is the decoder of an item that ParseLayout has let pass.
func newItem(h itemHead) item {
	old := h.version == 1
	switch {
	case h.kind == itemPoint10 && old:
		return newPoint10v1()
	case h.kind == itemPoint10:
		return newPoint10()
	case h.kind == itemTime && old:
		return newGPSTimeV1()
	case h.kind == itemTime:
		return newGPSTime()
	case h.kind == itemRGB12 && old:
		return newRGB12v1()
	case h.kind == itemRGB12:
		return newRGB12()
	case h.kind == itemWave13:
		return newWave13()
	case old:
		return newExtraV1(h.size)
	}
	return newExtra(h.size)
}

func (s *serial) begin(data []byte, count int, first *Point) error {
	if len(data) < s.l.record {
		return fmt.Errorf("found %d bytes, want %d for the first point", len(data), s.l.record)
	}
	*first = rawPoint(data)
	if s.l.rgbAt > 0 {
		first.RGB = rawRGB(data[s.l.rgbAt:])
	}
	at := 0
	for i, h := range s.l.items {
		s.items[i].begin(data[at : at+h.size])
		at += h.size
	}
	if count > 1 {
		s.start(data[at:])
	} else {
		s.decoder = decoder{}
	}
	return nil
}

func (s *serial) next(p *Point) {
	for _, it := range s.items {
		it.next(&s.decoder, p)
	}
}

// Places in the table of chunks: version, number of chunks, then their sizes, compressed.
const (
	tablePointer = 8 // bytes before the first chunk, that hold where the table is
	tableHead    = 8
)

// chunks finds the chunks of a file.
func (l *Layout) chunks(file []byte, at int64, count int) ([]chunk, error) {
	size := int64(len(file))
	if l.compressor == pointwise {
		if int64(count) > (size-at)*pointsPerByte {
			return nil, fmt.Errorf("truncated: found %d bytes for %d points", size-at, count)
		}
		return []chunk{{at: at, end: size, count: count}}, nil
	}
	le := binary.LittleEndian
	if size-at < tablePointer {
		return nil, fmt.Errorf("offset %d: found %d bytes, want the place of the table of chunks", at, size-at)
	}
	table := int64(le.Uint64(file[at:]))
	if table == -1 { // written to a pipe: the place is at the end
		table = int64(le.Uint64(file[size-tablePointer:]))
	}
	at += tablePointer
	if table < at || table > size-tableHead {
		return nil, fmt.Errorf("table of chunks: found offset %d, want %d to %d (a writer that was interrupted "+
			"leaves none)", table, at, size-tableHead)
	}
	if v := le.Uint32(file[table:]); v != 0 {
		return nil, fmt.Errorf("table of chunks at offset %d: found version %d, want 0", table, v)
	}
	if int64(count) > (table-at)*pointsPerByte {
		return nil, fmt.Errorf("truncated: found %d bytes for %d points", table-at, count)
	}
	n := int64(le.Uint32(file[table+4:]))
	if n > (table-at)/int64(l.record) {
		return nil, fmt.Errorf("table of chunks at offset %d: found %d chunks in %d bytes, each of which has a plain "+
			"point of %d", table, n, table-at, l.record)
	}
	chunks, err := l.readTable(file[table+tableHead:], at, table, int(n), count)
	if err != nil {
		return nil, fmt.Errorf("table of chunks at offset %d: %w", table, err)
	}
	return chunks, nil
}

// readTable decodes the sizes of n chunks that fill the bytes of the file from at to end and hold count points.
func (l *Layout) readTable(data []byte, at, end int64, n, count int) ([]chunk, error) {
	chunks := make([]chunk, 0, n)
	var d decoder
	d.start(data)
	sizes := newInteger(32, 2)
	points, bytes := int32(0), int32(0)
	first := 0
	for i := range n {
		c := chunk{at: at, first: first, count: min(int(min(l.chunk, math.MaxInt32)), count-first)}
		if l.chunk == variableChunks {
			points = sizes.next(&d, points, 0)
			c.count = int(uint32(points))
		}
		bytes = sizes.next(&d, bytes, 1)
		c.end = at + int64(uint32(bytes))
		if d.failed() {
			return nil, errors.New("found its end, or what no encoder writes")
		}
		if c.end > end {
			return nil, fmt.Errorf("chunk %d: found its end at %d, want %d or less", i, c.end, end)
		}
		if c.count > count-first {
			return nil, fmt.Errorf("chunk %d: found %d points, want %d or fewer", i, c.count, count-first)
		}
		at, first = c.end, first+c.count
		if c.count > 0 {
			chunks = append(chunks, c)
		}
	}
	if first != count {
		return nil, fmt.Errorf("found chunks for %d points, want %d", first, count)
	}
	return chunks, nil
}
