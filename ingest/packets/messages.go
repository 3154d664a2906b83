package packets

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// messages are those of one topic of a ROS 2 recording, as CDR; ok is false at the end.
type messages interface {
	message() (data []byte, ok bool, err error)
	close() error
}

// pointCloud2 is the message that holds a ready cloud.
const pointCloud2 = "sensor_msgs/msg/PointCloud2"

// chooseTopic returns the first topic of packets, or else of clouds, of topics of some types.
func chooseTopic(kinds []string) (int, error) {
	isScan := func(kind string) bool { _, ok := scanMessages[kind]; return ok }
	if i := slices.IndexFunc(kinds, isScan); i >= 0 {
		return i, nil
	}
	if i := slices.Index(kinds, pointCloud2); i >= 0 {
		return i, nil
	}
	const some = 20
	return 0, fmt.Errorf("found topics of %q, want velodyne_msgs/msg/VelodyneScan, pandar_msgs/msg/PandarScan, robosense_msgs/msg/RobosenseScan or %s",
		kinds[:min(some, len(kinds))], pointCloud2)
}

// openMessages reads the packets of a Velodyne sensor (velodyne_msgs/msg/VelodyneScan), of a Hesai Pandar
// (pandar_msgs/msg/PandarScan) or of a RoboSense Helios (robosense_msgs/msg/RobosenseScan), or the clouds of
// sensor_msgs/msg/PointCloud2. Options.Calibration names the table of the PandarQT64, and of the Helios-16P, whose
// packets look like those of the Helios. It closes m where it fails.
func openMessages(kind string, m messages, o ingest.Options) (recording, decoder, error) {
	if kind == pointCloud2 {
		return &whole{m}, &cloudDecoder{limits: o}, nil
	}
	r := &scans{messages: m, scan: scanMessages[kind]}
	var dec decoder
	var err error
	keep := isVelodyne
	switch kind {
	case "pandar_msgs/msg/PandarScan":
		d := newHesaiDecoder(optionsOf(o).Calibration)
		dec, keep, err = d, isHesai, r.prepare(d.prepare)
	case "robosense_msgs/msg/RobosenseScan":
		var d *robosenseDecoder
		if d, err = newRoboSenseDecoder(optionsOf(o).Calibration); err == nil {
			err = r.prepare(d.prepare)
		}
		dec, keep = d, isRoboSense
	default:
		dec, err = newVelodyneDecoder(optionsOf(o).Calibration)
	}
	if err != nil {
		return nil, nil, errors.Join(err, m.close())
	}
	return &only{r, keep}, dec, nil
}

// scans takes the packets out of messages.
type scans struct {
	messages
	scan   scanMessage
	queue  []packet
	failed error // what comes behind the queue
}

// maxAhead bounds the packets that are looked at before reading begins: more than a second of the fastest sensor.
const maxAhead = 4000

// prepare shows packets to see until it wants no more; they are given again by next. What a decoder must know first
// may come late, and a calibration that is missing or of another model is found before reading begins.
func (r *scans) prepare(see func(packet) (more bool, err error)) error {
	var seen []packet
	for len(seen) < maxAhead {
		var p packet
		var ok bool
		if p, ok, r.failed = r.next(); !ok {
			break // next gives the error when it comes to this place
		}
		seen = append(seen, p)
		if more, err := see(p); err != nil || !more {
			r.queue = append(seen, r.queue...)
			return err
		}
	}
	r.queue = append(seen, r.queue...)
	return nil
}

func (r *scans) next() (packet, bool, error) {
	for len(r.queue) == 0 {
		if err := r.failed; err != nil {
			r.failed = nil
			return packet{}, false, err
		}
		data, ok, err := r.message()
		if err != nil || !ok {
			return packet{}, false, err
		}
		if r.queue, err = r.scan.packets(data); err != nil && len(r.queue) == 0 {
			return packet{}, false, err
		}
	}
	p := r.queue[0]
	r.queue = r.queue[1:]
	return p, true, nil
}
