package packets

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// Decoder decodes the packets of one sensor, as they arrive, into one cloud per sweep. [Sensor.NewDecoder] makes one,
// and [FindSensor] finds the sensor. It must be used by one goroutine at a time.
type Decoder struct {
	dec     decoder
	fits    func(packet) bool
	repeats repeats
	foreign int
}

// Sensor is a kind of lidar whose packets can be decoded as they arrive.
type Sensor struct {
	// Name is the name in options; Aliases are models that are accepted instead.
	Name    string
	Aliases []string
	// Model is the name or alias by which the sensor was chosen; empty if it was not.
	Model string
	// Port is the sensor's factory default destination port.
	Port int
	// Calibration describes the calibration file that decoding needs; empty if none.
	Calibration string

	decoder func(calibration string) (decoder, func(packet) bool, error)
}

// Sensors returns the supported sensors.
func Sensors() []Sensor {
	return []Sensor{
		{
			Name: "velodyne", Aliases: []string{
				"vlp16", "puck", "puck-lite", "puck-hires", "hdl32e", "vlp32c",
				"hdl64e",
			}, Port: velodynePort,
			Calibration: "HDL-64E only: the sensor's calibration (YAML)",
			decoder: func(path string) (decoder, func(packet) bool, error) {
				d, err := newVelodyneDecoder(path)
				return d, isVelodyne, err
			},
		},
		{
			Name: "ouster", Aliases: []string{"os0", "os1", "os2", "osdome"}, Port: ousterPort,
			Calibration: "the sensor's metadata (JSON)",
			decoder: func(path string) (decoder, func(packet) bool, error) {
				meta, err := readOusterMeta(path)
				if err != nil {
					return nil, nil, err
				}
				d := newOusterDecoder(meta)
				return d, d.fits, nil
			},
		},
		{
			Name: "hesai", Aliases: []string{"qt64", "xt16", "pandar40p"}, Port: velodynePort,
			Calibration: "PandarQT64 only: a table of angles (CSV)",
			decoder:     func(path string) (decoder, func(packet) bool, error) { return newHesaiDecoder(path), isHesai, nil },
		},
		{
			Name: "robosense", Aliases: []string{"helios", "helios16p"}, Port: 6699,
			Calibration: "Helios-16P only: a table of angles (CSV)",
			decoder: func(path string) (decoder, func(packet) bool, error) {
				d, err := newRoboSenseDecoder(path)
				return d, isRoboSense, err
			},
		},
	}
}

// FindSensor returns the sensor with the given name or alias.
func FindSensor(name string) (Sensor, error) {
	for _, s := range Sensors() {
		if s.Name == name || slices.Contains(s.Aliases, name) {
			s.Model = name
			return s, nil
		}
	}
	return Sensor{}, fmt.Errorf("sensor: found %.40q, want one of %s", name, strings.Join(Sensor{}.Choices(), ", "))
}

// Choices returns all names and aliases.
func (Sensor) Choices() (names []string) {
	for _, s := range Sensors() {
		names = append(append(names, s.Name), s.Aliases...)
	}
	return names
}

// MarshalText returns the name.
func (s Sensor) MarshalText() ([]byte, error) { return []byte(s.Name), nil }

// UnmarshalText calls FindSensor; it is used by options.
func (s *Sensor) UnmarshalText(text []byte) (err error) {
	*s, err = FindSensor(string(text))
	return err
}

// ModelOf returns the maker and, where it can be told, the model of the sensor that sends such packets. It is empty if
// the packet is of an unknown kind, as those of an Ouster are without its metadata.
func ModelOf(b []byte) string {
	p := packet{data: b}
	if familyOf(p) == unknown {
		return ""
	}
	return modelOf(p)
}

// CheckCalibration returns an error if the sensor needs a calibration file and path is empty.
func (s Sensor) CheckCalibration(path string) error {
	if s.Name == "ouster" && path == "" {
		return fmt.Errorf("calibration: found none, want %s, such as &calibration=os1.json", s.Calibration)
	}
	return nil
}

// NewDecoder returns a decoder. calibration is the path of the sensor's calibration file, or empty.
func (s Sensor) NewDecoder(calibration string) (*Decoder, error) {
	if err := s.CheckCalibration(calibration); err != nil {
		return nil, err
	}
	dec, fits, err := s.decoder(calibration)
	if err != nil {
		return nil, err
	}
	return &Decoder{dec: dec, fits: fits}, nil
}

// Sweep is the cloud of one sweep of a sensor.
type Sweep struct {
	Cloud *ingest.PointCloud
	// Began is the start time by the sensor's clock or, if it has none, the arrival time of the first packet.
	Began time.Time
}

// Add decodes a packet that arrived at the given time; it does not retain b. It returns the sweep that the packet
// completes, or nil. Packets of another kind are counted and ignored. An error concerns this packet only.
func (d *Decoder) Add(at time.Time, b []byte) (*Sweep, error) {
	p := packet{time: at, data: b}
	if !d.fits(p) {
		d.foreign++
		return nil, nil
	}
	if d.repeats.again(b) {
		return nil, nil
	}
	t, err := d.dec.add(p)
	return exported(t), err
}

// Rest returns the incomplete sweep, or nil if there is none, for use when a sensor stops sending.
func (d *Decoder) Rest() *Sweep { return exported(d.dec.rest()) }

func exported(t *sweep) *Sweep {
	if t == nil {
		return nil
	}
	return &Sweep{Cloud: t.cloud, Began: t.time}
}

// Counts returns the counts so far, the number of packets that arrived twice in a row, and the number of packets of
// another kind.
func (d *Decoder) Counts() (c Counts, repeated, foreign int) {
	return d.dec.counts(), d.repeats.count, d.foreign
}

// Record is one packet of a recording with its time.
type Record struct {
	Time time.Time
	Port int // destination port; 0 if the recording does not have it
	Data []byte
}

// Records returns the lidar packets of a recording in the order in which they were recorded. The sequence can be
// iterated several times. Packets of several sensors are an error unless o chooses one.
func Records(ctx context.Context, path string, o ingest.Options) (iter.Seq2[Record, error], error) {
	o = o.WithDefaults()
	head, err := ingest.ReadHead(path)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		ingest.Format
		begin opener
	}{{PCAP, openCapture}, {ROSBag1, openROSBag1}, {ROSBag2, openROSBag2}, {MCAP, openMCAP}, {VelodyneRaw, openRaw}} {
		if f.Detect(head) == ingest.No {
			continue
		}
		r, err := f.begin(ctx, path, o)
		if err == nil {
			err = r.close()
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case r.tracks[0].clouds:
			return nil, fmt.Errorf("%s: found clouds, want packets", path)
		case len(r.tracks) > 1:
			return nil, fmt.Errorf(
				"%s: found packets of several sensors, %s; choose one with --sensor or --topic",
				path,
				list(r.tracks),
			)
		}
		return func(yield func(Record, error) bool) {
			r, err := f.begin(ctx, path, o)
			if err != nil {
				yield(Record{}, err)
				return
			}
			give(ctx, r, yield)
		}, nil
	}
	return nil, fmt.Errorf("%s: not a recording of lidar packets", path)
}

// give yields the packets of a recording, and closes it.
func give(ctx context.Context, r opened, yield func(Record, error) bool) {
	defer r.close() //nolint:errcheck // opened for reading
	for {
		p, ok, err := r.next(ctx)
		if ok && (p.track < 0 || p.err != nil || !r.tracks[p.track].fits(p)) {
			continue
		}
		if !ok && err == nil || !yield(Record{p.time, int(p.port), p.data}, err) || err != nil {
			return
		}
	}
}
