package packets

import (
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// messages returns the CDR messages of one topic of a ROS 2 recording; ok is false at the end.
type messages interface {
	message() (data []byte, ok bool, err error)
	close() error
}

// pointCloud2 is the message type of a complete cloud.
const pointCloud2 = "sensor_msgs/msg/PointCloud2"

// chooseTopic returns the index of the first topic of packets, or else of clouds, given the topics' types.
func chooseTopic(kinds []string) (int, error) {
	isScan := func(kind string) bool { _, ok := scanMessages[kind]; return ok }
	if i := slices.IndexFunc(kinds, isScan); i >= 0 {
		return i, nil
	}
	if i := slices.Index(kinds, pointCloud2); i >= 0 {
		return i, nil
	}
	const some = 20
	return 0, fmt.Errorf("found topics of %q, want velodyne_msgs/msg/VelodyneScan, pandar_msgs/msg/PandarScan, "+
		"robosense_msgs/msg/RobosenseScan or %s",
		kinds[:min(some, len(kinds))], pointCloud2)
}

// openMessages reads the packets of a Velodyne sensor (velodyne_msgs/msg/VelodyneScan), of a Hesai Pandar
// (pandar_msgs/msg/PandarScan) or of a RoboSense Helios (robosense_msgs/msg/RobosenseScan), or the clouds of
// sensor_msgs/msg/PointCloud2. Options.Calibration is the table of the PandarQT64 or of the Helios-16P, whose
// packets look like those of the Helios. On error it closes m.
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

// scans extracts the packets of messages.
type scans struct {
	messages
	scan   scanMessage
	queue  []packet
	failed error // error to return after the queue
}

// maxAhead limits the packets inspected before reading begins, to more than one second of the fastest sensor.
const maxAhead = 4000

// prepare passes packets to see until it returns more = false. next returns the same packets again. A decoder may
// need information that comes late, and a missing or wrong calibration is reported before reading begins.
func (r *scans) prepare(see func(packet) (more bool, err error)) error {
	var seen []packet
	for len(seen) < maxAhead {
		var p packet
		var ok bool
		if p, ok, r.failed = r.next(); !ok {
			break // next returns the error when it gets here
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
