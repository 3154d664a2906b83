// Package digit serves POST /api/digit of the page: a digit that a person draws, or that the generator writes, becomes
// a volume as in the dataset of package mnist3d, and is classified.
package digit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/dataset/mnist3d"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Limits of a request. The page obeys them; see serve/web/src/views/try/pad.tsx.
const (
	maxBody    = 1 << 18 // bytes
	maxStrokes = 64
	maxPoints  = 4096 // of all strokes
	maxPlace   = 1e6  // coordinates lie between -maxPlace and maxPlace
)

// pen is the radius of the pen in pixels, in the middle of those of drawn digits.
const pen = 1.2

// maxCloud is the number of points that the page gets. A digit has about half as many.
const maxCloud = 200_000

// Stream is the name of the stream in the classifications of digits.
const Stream = "digit"

// Request is the body of a request: strokes, or a digit for the generator.
type Request struct {
	// Strokes are lines of points, x to the right and y down. Their scale does not matter.
	Strokes [][][2]float64 `json:"strokes,omitempty"`
	// Digit is 0 to 9. Seed chooses the handwriting.
	Digit *int   `json:"digit,omitempty"`
	Seed  uint64 `json:"seed,omitempty"`
	// Model names a model; empty means the current one.
	Model string `json:"model,omitempty"`
}

// image returns the digit, with its label or -1.
func (r *Request) image() (*mnist3d.Image, int32, error) {
	switch {
	case r.Digit != nil && r.Strokes != nil:
		return nil, 0, errors.New("found strokes and a digit, want one of them")
	case r.Digit != nil:
		if *r.Digit < 0 || *r.Digit > 9 {
			return nil, 0, fmt.Errorf("digit: found %d, want 0 to 9", *r.Digit)
		}
		d := mnist3d.Draw(r.Seed, *r.Digit)
		return &d.Image, int32(d.Label), nil
	case len(r.Strokes) > maxStrokes:
		return nil, 0, fmt.Errorf("strokes: found %d, want at most %d", len(r.Strokes), maxStrokes)
	}
	var lines [][]mnist3d.Point
	points := 0
	for _, s := range r.Strokes {
		var line []mnist3d.Point
		for _, p := range s {
			if max(math.Abs(p[0]), math.Abs(p[1])) > maxPlace {
				return nil, 0, fmt.Errorf("strokes: found the point %v, want coordinates of at most %g", p, maxPlace)
			}
			line = append(line, mnist3d.Point{X: p[0], Y: p[1]})
		}
		points += len(line)
		lines = append(lines, line)
	}
	switch {
	case points == 0:
		return nil, 0, errors.New("strokes: found none, want at least one with a point")
	case points > maxPoints:
		return nil, 0, fmt.Errorf("strokes: found %d points, want at most %d", points, maxPoints)
	}
	image := mnist3d.Write(lines, pen)
	return &image, -1, nil
}

// Handler answers with a frame of type "frame" that has the cloud of the digit, its volume, its classification, and
// the image as the part "ink".
// fail writes the response for errors of find and of the classification.
func Handler(find classifier.Find, fail func(http.ResponseWriter, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q Request
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			if _, large := errors.AsType[*http.MaxBytesError](err); large {
				refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("found more than %d bytes", maxBody))
				return
			}
			refuse(w, http.StatusBadRequest, fmt.Errorf("body: %w", err))
			return
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			refuse(w, http.StatusBadRequest, errors.New("body: found more than one JSON value"))
			return
		}
		image, label, err := q.image()
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		m, err := find(q.Model, "")
		if err != nil {
			fail(w, err)
			return
		}
		b, err := answer(r.Context(), m, image, label)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", frame.ContentType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b) // a client that went away needs no answer
	})
}

// answer voxelizes and classifies an image.
func answer(ctx context.Context, m *classifier.Model, image *mnist3d.Image, label int32) ([]byte, error) {
	cloud, err := mnist3d.Upright(image)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	s := ingest.Sample{
		ID: record.ID{Stream: Stream, Seq: uint64(now.UnixMilli())}, Time: now, Label: label, Data: cloud.Points,
	}
	o := m.Input.Options(voxelize.DefaultOptions())
	o.Method = voxelize.MNIST3D.Name
	if d := m.Input.Dims; d[0] != d[1] || d[1] != d[2] {
		o.Method = voxelize.Regular.Name // the other needs a cube
	}
	v, err := voxelize.New(o)
	if err != nil {
		return nil, err
	}
	volume, err := v.Volume(s)
	if err != nil {
		return nil, err
	}
	found, err := m.Classify(ctx, []classify.Item{{Volume: volume, Read: now}})
	if err != nil {
		return nil, err
	}
	h := frame.Of(volume.ID)
	h.Classification, h.ClassNames = &found[0], m.Classes
	var p frame.Payload
	p.AddVolume(&h, &volume)
	p.AddSensor(&h, &s, maxCloud)
	copy(p.Add("ink", frame.U8, mnist3d.Side, mnist3d.Side), image[:])
	return frame.Encode(h, &p)
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "digit: " + err.Error()})
}
