package packets

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/voxelstream/voxelstream/ingest"
)

// ROSBag2 is a recording of ROS 2 in SQLite (.db3) that holds the packets of a Velodyne sensor (velodyne_msgs/msg/VelodyneScan), of a Hesai
// Pandar (pandar_msgs/msg/PandarScan) or of a RoboSense Helios (robosense_msgs/msg/RobosenseScan). Options.Calibration names the table of the
// PandarQT64, and of the Helios-16P, whose packets look like those of the Helios. The tables are topics (id, name,
// type, serialization_format) and messages (id, topic_id, timestamp, data); data is CDR.
// https://github.com/ros2/rosbag2/tree/rolling/rosbag2_storage_sqlite3
var ROSBag2 = ingest.Format{
	Name: "rosbag2",
	Detect: func(h *ingest.Head) ingest.Confidence {
		if bytes.HasPrefix(h.Bytes, []byte("SQLite format 3\x00")) {
			return ingest.Likely
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(path, o, openROSBag2)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openROSBag2)
	},
}

// maxMessage bounds one message: a scan of the largest sensors has some 2 MiB.
const maxMessage = 64 << 20

// rosbag2 reads the scans of one topic in the order of their times.
type rosbag2 struct {
	db      *sql.DB
	rows    *sql.Rows
	kind    string
	message scanMessage
	queue   []packet
	failed  error // what comes behind the queue
}

func openROSBag2(path string, o ingest.Options) (recording, decoder, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	// Nothing of an untrusted file's schema runs, nothing is written, and no journal is looked for.
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: "mode=ro&immutable=1&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, nil, err
	}
	r := &rosbag2{db: db}
	if err := r.begin(); err != nil {
		return nil, nil, errors.Join(err, r.close())
	}
	switch r.kind {
	case "pandar_msgs/msg/PandarScan":
		dec := newHesaiDecoder(o.Calibration)
		if err := r.prepare(dec.prepare); err != nil {
			return nil, nil, errors.Join(err, r.close())
		}
		return &only{r, isHesai}, dec, nil
	case "robosense_msgs/msg/RobosenseScan":
		dec, err := newRoboSenseDecoder(o.Calibration)
		if err != nil {
			return nil, nil, errors.Join(err, r.close())
		}
		if err := r.prepare(dec.prepare); err != nil {
			return nil, nil, errors.Join(err, r.close())
		}
		return &only{r, isRoboSense}, dec, nil
	}
	dec, err := newVelodyneDecoder(o.Calibration)
	if err != nil {
		return nil, nil, errors.Join(err, r.close())
	}
	return &only{r, isVelodyne}, dec, nil
}

// begin finds the topic.
func (r *rosbag2) begin() error {
	topics, err := r.db.Query("SELECT id, type FROM topics WHERE serialization_format = 'cdr' ORDER BY id LIMIT 10000")
	if err != nil {
		return fmt.Errorf("rosbag2: %w", err)
	}
	var found []string
	topic := int64(-1)
	for topics.Next() {
		var id int64
		var kind string
		if err := topics.Scan(&id, &kind); err != nil {
			return errors.Join(fmt.Errorf("rosbag2: %w", err), topics.Close())
		}
		if m, ok := scanMessages[kind]; ok && topic < 0 {
			topic, r.kind, r.message = id, kind, m
		}
		if len(found) < 20 {
			found = append(found, kind)
		}
	}
	if err := errors.Join(topics.Err(), topics.Close()); err != nil {
		return fmt.Errorf("rosbag2: %w", err)
	}
	if topic < 0 {
		return fmt.Errorf("rosbag2: found topics of %q, want velodyne_msgs/msg/VelodyneScan, pandar_msgs/msg/PandarScan or robosense_msgs/msg/RobosenseScan",
			found)
	}
	r.rows, err = r.db.Query("SELECT length(data), data FROM messages WHERE topic_id = ? AND length(data) <= ? ORDER BY timestamp, id", topic, maxMessage)
	if err != nil {
		return fmt.Errorf("rosbag2: %w", err)
	}
	return nil
}

// maxAhead bounds the packets that are looked at before reading begins: more than a second of the fastest sensor.
const maxAhead = 4000

// prepare shows packets to see until it wants no more; they are given again by next. What a decoder must know first may come late, and a
// calibration that is missing or of another model is found before reading begins.
func (r *rosbag2) prepare(see func(packet) (more bool, err error)) error {
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

func (r *rosbag2) next() (packet, bool, error) {
	for len(r.queue) == 0 {
		if err := r.failed; err != nil {
			r.failed = nil
			return packet{}, false, err
		}
		if !r.rows.Next() {
			return packet{}, false, r.rows.Err()
		}
		var n int64
		var data []byte
		if err := r.rows.Scan(&n, &data); err != nil {
			return packet{}, false, err
		}
		var err error
		if r.queue, err = r.message.packets(data); err != nil && len(r.queue) == 0 {
			return packet{}, false, err
		}
	}
	p := r.queue[0]
	r.queue = r.queue[1:]
	return p, true, nil
}

func (r *rosbag2) close() error {
	var err error
	if r.rows != nil {
		err = r.rows.Close()
	}
	return errors.Join(err, r.db.Close())
}
