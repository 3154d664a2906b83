package packets

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// Decoder turns the packets of one sensor, as they arrive, into the clouds of its turns. One goroutine at a time
// may use it.
type Decoder struct {
	dec     decoder
	fits    func(packet) bool
	repeats repeats
	foreign int
}

// Sensor is a kind of lidar whose packets can be decoded as they arrive.
type Sensor struct {
	// Name is what users write; Aliases are the models it stands for.
	Name    string
	Aliases []string
	// Port is where the sensor sends its packets from the factory.
	Port int
	// Calibration says what file the sensor's packets need beside them; empty: none.
	Calibration string

	decoder func(calibration string) (decoder, func(packet) bool, error)
}

// Sensors are those that [NewDecoder] knows.
func Sensors() []Sensor {
	return []Sensor{
		{
			Name: "velodyne", Aliases: []string{"vlp16", "puck", "puck-lite", "puck-hires", "hdl32e", "vlp32c", "hdl64e"}, Port: velodynePort,
			Calibration: "the sensor's calibration (YAML), the HDL-64E",
			decoder: func(path string) (decoder, func(packet) bool, error) {
				d, err := newVelodyneDecoder(path)
				return d, isVelodyne, err
			},
		},
		{
			Name: "ouster", Aliases: []string{"os0", "os1", "os2", "osdome"}, Port: ousterPort, Calibration: "the sensor's metadata (JSON)",
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
			Name: "hesai", Aliases: []string{"qt64", "xt16", "pandar40p"}, Port: velodynePort, Calibration: "a table of angles (CSV), the PandarQT64",
			decoder: func(path string) (decoder, func(packet) bool, error) { return newHesaiDecoder(path), isHesai, nil },
		},
		{
			Name: "robosense", Aliases: []string{"helios", "helios16p"}, Port: 6699, Calibration: "a table of angles (CSV), the Helios-16P",
			decoder: func(path string) (decoder, func(packet) bool, error) {
				d, err := newRoboSenseDecoder(path)
				return d, isRoboSense, err
			},
		},
	}
}

// FindSensor is the sensor of a name or an alias.
func FindSensor(name string) (Sensor, error) {
	for _, s := range Sensors() {
		if s.Name == name || slices.Contains(s.Aliases, name) {
			return s, nil
		}
	}
	return Sensor{}, fmt.Errorf("sensor: found %.40q, want one of %s", name, strings.Join(Sensor{}.Choices(), ", "))
}

// Choices are all names and aliases.
func (Sensor) Choices() (names []string) {
	for _, s := range Sensors() {
		names = append(append(names, s.Name), s.Aliases...)
	}
	return names
}

// MarshalText is the name.
func (s Sensor) MarshalText() ([]byte, error) { return []byte(s.Name), nil }

// UnmarshalText is FindSensor, for options.
func (s *Sensor) UnmarshalText(text []byte) (err error) {
	*s, err = FindSensor(string(text))
	return err
}

// CheckCalibration wants the path of a calibration file where the sensor cannot do without one.
func (s Sensor) CheckCalibration(path string) error {
	if s.Name == "ouster" && path == "" {
		return fmt.Errorf("calibration: found none, want %s", s.Calibration)
	}
	return nil
}

// NewDecoder makes a decoder; calibration is the path of the file that the sensor needs, or empty.
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

// Turn is the cloud of one turn of a sensor.
type Turn struct {
	Cloud *ingest.PointCloud
	// Began is when it began, by the sensor's clock, or when its first packet arrived where the sensor has none.
	Began time.Time
}

// Add takes a packet that arrived at a time; b is not kept. It gives the turn that the packet ends, nil where it
// ends none. A packet of another kind is counted and passed over; an error concerns this packet alone.
func (d *Decoder) Add(at time.Time, b []byte) (*Turn, error) {
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

// Rest is the turn that is under way, nil without one: what there is when a sensor falls silent.
func (d *Decoder) Rest() *Turn { return exported(d.dec.rest()) }

func exported(t *turn) *Turn {
	if t == nil {
		return nil
	}
	return &Turn{Cloud: t.cloud, Began: t.time}
}

// Counts is what came so far, the packets that came twice in a row, and those of another kind.
func (d *Decoder) Counts() (c Counts, repeated, foreign int) {
	return d.dec.counts(), d.repeats.count, d.foreign
}

// Record is one packet of a recording, and when it was taken.
type Record struct {
	Time time.Time
	Port int // that it was sent to; 0 where the recording does not say
	Data []byte
}

// Records gives the packets of a recording that are a lidar's, in the order in which they were recorded. It can be
// ranged over again.
func Records(path string, o ingest.Options) (iter.Seq2[Record, error], error) {
	for _, begin := range []opener{openCapture, openROSBag1, openROSBag2, openMCAP, openRaw} {
		rec, dec, err := begin(path, o.WithDefaults())
		if err != nil {
			continue
		}
		if err := rec.close(); err != nil {
			return nil, err
		}
		if _, ready := dec.(*cloudDecoder); ready {
			continue // its messages are no packets
		}
		return func(yield func(Record, error) bool) {
			rec, _, err := begin(path, o.WithDefaults())
			if err != nil {
				yield(Record{}, err)
				return
			}
			give(rec, yield)
		}, nil
	}
	return nil, fmt.Errorf("%s: found no recording of lidar packets", path)
}

// give hands out the packets of a recording, and closes it.
func give(rec recording, yield func(Record, error) bool) {
	defer rec.close() //nolint:errcheck // opened for reading
	for {
		p, ok, err := rec.next()
		if !ok && err == nil || !yield(Record{p.time, int(p.port), p.data}, err) || err != nil {
			return
		}
	}
}
