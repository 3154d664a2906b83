// Package tensorboard writes TensorBoard event files: scalars by step, named as Keras's callback does.
package tensorboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Writer appends events to one file in a run's directory. It must be used by one goroutine at a time.
type Writer struct {
	f   *os.File
	now func() time.Time
}

// Scalar is a named value.
type Scalar struct {
	Tag   string
	Value float64
}

// Fields of tensorflow.Event, Summary, Summary.Value and SessionLog (tensorflow/core/util/event.proto,
// framework/summary.proto).
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	eventSessionLog  = 7
	summaryValue     = 1
	valueTag         = 1
	valueSimple      = 2
	sessionStatus    = 1
	sessionStart     = 1
)

// Create starts a new event file in dir, which is created if necessary. Events in other files of dir from step on
// are superseded: they come from an interrupted training run that is resumed here.
func Create(dir string, step int64) (*Writer, error) { return create(dir, step, time.Now) }

func create(dir string, step int64, now func() time.Time) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	f, err := newFile(filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.%s.%d", now().Unix(), host, os.Getpid())))
	if err != nil {
		return nil, err
	}
	w := &Writer{f: f, now: now}
	version := protowire.AppendString(protowire.AppendTag(nil, eventFileVersion, protowire.BytesType), "brain.Event:2")
	status := protowire.AppendVarint(protowire.AppendTag(nil, sessionStatus, protowire.VarintType), sessionStart)
	start := protowire.AppendBytes(protowire.AppendTag(nil, eventSessionLog, protowire.BytesType), status)
	if err := errors.Join(w.event(0, version), w.event(step, start)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// newFile creates a new file under the first free name of name.0.v2, name.1.v2 and so on.
func newFile(name string) (*os.File, error) {
	for i := 0; ; i++ {
		f, err := os.OpenFile(fmt.Sprintf("%s.%d.v2", name, i), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if !errors.Is(err, os.ErrExist) {
			return f, err
		}
	}
}

// Write appends the scalars of a step. TensorBoard can show them immediately.
func (w *Writer) Write(step int64, scalars ...Scalar) error {
	var summary []byte
	for _, s := range scalars {
		v := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), s.Tag)
		v = protowire.AppendFixed32(protowire.AppendTag(v, valueSimple, protowire.Fixed32Type), math.Float32bits(float32(s.Value)))
		summary = protowire.AppendBytes(protowire.AppendTag(summary, summaryValue, protowire.BytesType), v)
	}
	return w.event(step, protowire.AppendBytes(protowire.AppendTag(nil, eventSummary, protowire.BytesType), summary))
}

// event appends an event with the given content.
func (w *Writer) event(step int64, what []byte) error {
	wall := float64(w.now().UnixMicro()) / 1e6
	e := protowire.AppendFixed64(protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type), math.Float64bits(wall))
	e = protowire.AppendVarint(protowire.AppendTag(e, eventStep, protowire.VarintType), uint64(step))
	_, err := w.f.Write(record(append(e, what...)))
	return err
}

// Close closes the file.
func (w *Writer) Close() error { return w.f.Close() }

// record frames data as a TFRecord: length, its masked checksum, data, its masked checksum.
func record(data []byte) []byte {
	r := binary.LittleEndian.AppendUint64(make([]byte, 0, len(data)+16), uint64(len(data)))
	r = binary.LittleEndian.AppendUint32(r, masked(r))
	r = append(r, data...)
	return binary.LittleEndian.AppendUint32(r, masked(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked returns the CRC-32C, rotated and offset as TFRecord requires (tensorflow/core/lib/hash/crc32c.h).
func masked(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
