package packets

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// PCAP is a network capture, pcap or pcapng, of one or several sensors of Velodyne (an HDL-64E needs
// Options.Calibration), Hesai, RoboSense or Ouster, with the Ouster's metadata in a JSON file of the same name. Each
// sensor is a stream of its own. Other packets are ignored.
var PCAP = ingest.Format{
	Name: "pcap",
	Doc: "pcap and pcapng, either byte order; Ethernet, VLAN, PPPoE, MPLS, Linux cooked, raw IP, loopback; IPv4 and IPv6, " +
		"fragments; several sensors: Velodyne HDL-32E, VLP-16, Puck LITE, Hi-Res, VLP-32C, VLS-128; Hesai PandarQT64, XT16, " +
		"40P; RoboSense Helios; Ouster with its JSON (NAME.json, NAME_0.json)",
	Assumes: "each source address and destination port is a separate sensor and stream (--sensor and --port choose); " +
		"metadata of another name in the folder belongs to the recording (--calibration names it); data after a " +
		"truncation is left out",
	Refuses: "other link types and sensors, which are named with the datagrams that were seen; packets cut by the snap " +
		"length; metadata with another serial number",
	Extensions: []string{".pcap", ".pcapng"},
	Tested:     "MRPT VLP-16 with GPS; Ouster SDK OS-0-128, OS-1-32",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if isCapture(h.Bytes) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(ctx, path, o, openCapture)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openCapture)
	},
}

// VelodyneRaw is a file of concatenated Velodyne data packets, 1206 bytes each, without times.
var VelodyneRaw = ingest.Format{
	Name:    "velodyne-raw",
	Doc:     "concatenated packets of 1206 bytes",
	Assumes: "an incomplete packet at the end is left out",
	Tested:  "einride VLP-16 packet",
	Options: newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		whole := len(h.Bytes) / velodyneSize
		for i := range min(whole, 2) {
			if !isVelodyne(packet{data: h.Bytes[i*velodyneSize:][:velodyneSize]}) {
				return ingest.No
			}
		}
		if whole == 0 || whole == 1 && h.Size != velodyneSize {
			return ingest.No
		}
		return ingest.Sure
	},
	Open: func(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(ctx, path, o, openRaw)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openRaw)
	},
}

type opener func(ctx context.Context, path string, o ingest.Options) (opened, error)

func open(ctx context.Context, path string, o ingest.Options, begin opener) (ingest.Source, error) {
	stream, err := streamName(path)
	if err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	r, err := begin(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, t := range r.tracks {
		t.stream = stream + t.stream
	}
	src := &source{opened: r, o: o}
	if optionsOf(o).Trajectory != "" {
		if err := src.follow(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), r.close())
		}
	}
	return src, nil
}

// streamName returns the name of the stream of a recording: a file, or a folder of one or several.
func streamName(path string) (string, error) {
	info, err := regular.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return ingest.StreamName(path)
	}
	files, err := bagFiles(path, ingest.Options{})
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", path, err)
	case len(files) == 1:
		return ingest.StreamName(files[0])
	}
	return ingest.FolderStreamName(path, filepath.Base(files[0]))
}

// follow makes the decoder correct points for the motion of the sensor.
func (s *source) follow() error {
	file := optionsOf(s.o).Trajectory
	if len(s.tracks) > 1 {
		return fmt.Errorf(
			"trajectory %s: found several sensors, %s; choose that of the trajectory with --sensor or --topic",
			file,
			list(s.tracks),
		)
	}
	d, ok := s.tracks[0].dec.(interface{ follow(m *motion) })
	if !ok {
		return fmt.Errorf("trajectory %s: cannot correct motion: points in the recorded clouds of a %s "+
			"have no times", file, s.tracks[0].dec.sensor())
	}
	var err error
	if s.motion, err = readMotion(s.o); err == nil {
		d.follow(s.motion)
	}
	return err
}

func inspect(ctx context.Context, path string, o ingest.Options, begin opener) (ingest.Detail, error) {
	o = o.WithDefaults()
	r, err := begin(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d, err := measure(ctx, r, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// rawRecording splits a file into packets. What is not one is left out.
type rawRecording struct{ data []byte }

func (r *rawRecording) next(context.Context) (packet, bool, error) {
	if len(r.data) < velodyneSize {
		return packet{}, false, nil
	}
	p := packet{data: r.data[:velodyneSize]}
	r.data = r.data[velodyneSize:]
	if !isVelodyne(p) {
		p.err = errors.New("found other data, want a Velodyne packet")
	}
	return p, true, nil
}

func (r *rawRecording) close() error { return nil }

func openRaw(_ context.Context, path string, o ingest.Options) (opened, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return opened{}, err
	}
	if len(data) < velodyneSize {
		return opened{}, fmt.Errorf("truncated: found %d bytes, want packets of %d", len(data), velodyneSize)
	}
	if rest := len(data) % velodyneSize; rest > 0 {
		o.Note("%v", &cutError{len(data) - rest, len(data), fmt.Sprintf("want packets of %d bytes", velodyneSize)})
	}
	t := &track{count: len(data) / velodyneSize, model: modelOf(packet{data: data[:velodyneSize]})}
	t.begin = func() (decoder, func(packet) bool, error) { return newDecoder(velodyneFamily, otherCalibration(o)) }
	tracks, err := start([]*track{t}, o)
	return opened{&rawRecording{data}, tracks}, err
}
