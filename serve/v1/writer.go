package v1

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
)

// Failure is an item of an answer that was not classified. A failure that ends a file early has no event ID.
type Failure struct {
	EventID string `json:"event_id,omitempty"`
	Stream  string `json:"stream,omitempty"`
	Seq     uint64 `json:"seq"`
	Error   string `json:"error"`
}

// failureFrame is the header of a frame of an item that was not classified.
type failureFrame struct {
	Type string `json:"type"`
	Failure
}

// maxPoints is the maximum number of points or pixels of a sensor in a frame.
const maxPoints = 200_000

// errGone reports that the client does not read the answer.
var errGone = errors.New("the client is gone")

// writer writes the items of an answer: as a JSON array, JSON lines, or frames.
type writer struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	query query
	// classes are the names of the classes, which frames have.
	classes []string
	begun   bool
}

// begin writes the header.
func (o *writer) begin() error {
	if o.begun {
		return nil
	}
	o.begun = true
	h := o.w.Header()
	h.Set("Cache-Control", "no-store")
	switch {
	case o.query.volumes:
		h.Set("Content-Type", frame.ContentType)
	case o.query.lines:
		h.Set("Content-Type", typeLines)
	default:
		h.Set("Content-Type", typeJSON)
		return o.write([]byte("["))
	}
	return nil
}

// item writes an item.
func (o *writer) item(it *item) error {
	separated := o.begun && !o.query.volumes && !o.query.lines
	if err := o.begin(); err != nil {
		return err
	}
	b, err := o.encode(it)
	if err != nil {
		return err
	}
	if separated {
		b = append([]byte(",\n"), b...)
	}
	if o.query.lines && !o.query.volumes {
		b = append(b, '\n')
	}
	return o.write(b)
}

func (o *writer) encode(it *item) ([]byte, error) {
	failed := Failure{Stream: it.id.Stream, Seq: it.id.Seq}
	if it.id != (record.ID{}) {
		failed.EventID = it.id.String()
	}
	if it.err != nil {
		failed.Error = it.err.Error()
	}
	switch {
	case !o.query.volumes && it.err != nil:
		return json.Marshal(failed)
	case !o.query.volumes:
		return json.Marshal(&it.result)
	case it.err != nil:
		return frame.Encode(failureFrame{"error", failed}, nil)
	}
	h, p := frame.Of(it.id), &frame.Payload{}
	p.AddVolume(&h, it.volume)
	if it.sample != nil {
		p.AddSensor(&h, it.sample, maxPoints)
	}
	h.Classification, h.ClassNames = &it.result, o.classes
	return frame.Encode(&h, p)
}

// write writes a part of the answer.
func (o *writer) write(b []byte) error {
	_ = o.c.SetWriteDeadline(time.Now().Add(stallTime)) // a recorder in a test has none
	if _, err := o.w.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// flush sends what was written.
func (o *writer) flush() error {
	if err := o.c.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// close ends the answer.
func (o *writer) close() error {
	if err := o.begin(); err != nil {
		return err
	}
	if o.query.volumes || o.query.lines {
		return nil
	}
	return o.write([]byte("]\n"))
}
