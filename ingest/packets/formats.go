package packets

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// PCAP is a network capture, pcap or pcapng, of a Velodyne sensor (an HDL-64E needs Options.Calibration) or of an
// Ouster sensor, with the sensor's metadata in a JSON file of the same name. Packets of other kinds and ports are
// ignored.
var PCAP = ingest.Format{
	Name: "pcap",
	Doc: "pcap and pcapng, either byte order, IP fragments, VLAN; Velodyne HDL-32E, VLP-16, Puck " +
		"LITE, Hi-Res, VLP-32C, VLS-128; Ouster with its JSON",
	Extensions: []string{".pcap", ".pcapng"},
	Tested:     "MRPT VLP-16 with GPS; Ouster SDK OS-0-128, OS-1-32",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if isCapture(h.Bytes) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(path, o, openCapture)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openCapture)
	},
}

// VelodyneRaw is a file of concatenated Velodyne data packets, 1206 bytes each, without times.
var VelodyneRaw = ingest.Format{
	Name:    "velodyne-raw",
	Doc:     "concatenated packets of 1206 bytes",
	Tested:  "einride VLP-16 packet",
	Options: newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if len(h.Bytes) >= velodyneSize && h.Size%velodyneSize == 0 && isVelodyne(packet{data: h.Bytes[:velodyneSize]}) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(path, o, openRaw)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openRaw)
	},
}

type opener func(path string, o ingest.Options) (recording, decoder, error)

func open(path string, o ingest.Options, begin opener) (ingest.Source, error) {
	stream, err := ingest.StreamName(path)
	if err != nil {
		return nil, err
	}
	rec, dec, err := begin(path, o.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	src := &source{stream: stream, rec: rec, dec: dec}
	if optionsOf(o).Trajectory != "" {
		if err := src.follow(o.WithDefaults()); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), rec.close())
		}
	}
	return src, nil
}

// follow makes the decoder correct points for the motion of the sensor.
func (s *source) follow(o ingest.Options) error {
	d, ok := s.dec.(interface{ follow(m *motion) })
	if !ok {
		return fmt.Errorf("trajectory %s: cannot correct motion: points in the recorded clouds of a %s "+
			"have no times", optionsOf(o).Trajectory, s.dec.sensor())
	}
	var err error
	if s.motion, err = readMotion(o); err == nil {
		d.follow(s.motion)
	}
	return err
}

func inspect(ctx context.Context, path string, o ingest.Options, begin opener) (ingest.Detail, error) {
	rec, dec, err := begin(path, o.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d, err := measure(ctx, rec, dec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// only returns the packets for which keep returns true.
type only struct {
	recording
	keep func(packet) bool
}

func (r *only) next() (packet, bool, error) {
	for {
		p, ok, err := r.recording.next()
		if err != nil || !ok || r.keep(p) {
			return p, ok, err
		}
	}
}

func openCapture(path string, o ingest.Options) (recording, decoder, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	c, err := newCapture(data)
	if err != nil {
		return nil, nil, err
	}
	meta, err := ousterBeside(path)
	switch {
	case errors.Is(err, errNoMeta):
		dec, err := newVelodyneDecoder(optionsOf(o).Calibration)
		return &only{c, isVelodyne}, dec, err
	case err != nil:
		return nil, nil, err
	}
	dec := newOusterDecoder(meta)
	return &only{c, dec.fits}, dec, nil
}

// rawRecording splits a file into packets.
type rawRecording struct{ data []byte }

func (r *rawRecording) next() (packet, bool, error) {
	if len(r.data) == 0 {
		return packet{}, false, nil
	}
	if len(r.data) < velodyneSize {
		return packet{}, false, fmt.Errorf("truncated: found %d bytes, want a packet of %d", len(r.data), velodyneSize)
	}
	p := packet{data: r.data[:velodyneSize]}
	r.data = r.data[velodyneSize:]
	if !isVelodyne(p) {
		return p, false, errors.New("found other data, want a Velodyne packet")
	}
	return p, true, nil
}

func (r *rawRecording) close() error { return nil }

func openRaw(path string, o ingest.Options) (recording, decoder, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	dec, err := newVelodyneDecoder(optionsOf(o).Calibration)
	return &rawRecording{data}, dec, err
}
