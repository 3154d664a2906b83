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

// ROSBag2 is a ROS 2 recording in SQLite (.db3) with messages of the types of [openMessages]. The tables are topics
// (id, name, type, serialization_format) and messages (id, topic_id, timestamp, data); data is CDR.
// https://github.com/ros2/rosbag2/tree/rolling/rosbag2_storage_sqlite3
var ROSBag2 = ingest.Format{
	Name: "rosbag2",
	Doc: "SQLite; velodyne_msgs/VelodyneScan, pandar_msgs/PandarScan (QT64 with its calibration, " +
		"XT16, 40P), robosense_msgs/RobosenseScan (Helios); sensor_msgs/PointCloud2",
	Extensions: []string{".db3"},
	Library:    "modernc.org/sqlite",
	Tested:     "Nebula VLP-32C, QT64 and Helios-16P recordings with ground truth clouds",
	Options:    newOptions,
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

// maxMessage limits the size of one message; a scan of the largest sensors has about 2 MiB.
const maxMessage = 64 << 20

// rosbag2 reads the messages of one topic in time order.
type rosbag2 struct {
	db   *sql.DB
	rows *sql.Rows
	kind string
}

func openROSBag2(path string, o ingest.Options) (recording, decoder, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	// Code in an untrusted file's schema is not run, nothing is written, and no journal is read.
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: "mode=ro&immutable=1&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, nil, err
	}
	r := &rosbag2{db: db}
	if err := r.begin(); err != nil {
		return nil, nil, errors.Join(err, r.close())
	}
	return openMessages(r.kind, r, o)
}

// begin finds the topic.
func (r *rosbag2) begin() error {
	topics, err := r.db.Query("SELECT id, type FROM topics WHERE serialization_format = 'cdr' ORDER BY id LIMIT 10000")
	if err != nil {
		return fmt.Errorf("rosbag2: %w", err)
	}
	var ids []int64
	var kinds []string
	for topics.Next() {
		var id int64
		var kind string
		if err := topics.Scan(&id, &kind); err != nil {
			return errors.Join(fmt.Errorf("rosbag2: %w", err), topics.Close())
		}
		ids, kinds = append(ids, id), append(kinds, kind)
	}
	if err := errors.Join(topics.Err(), topics.Close()); err != nil {
		return fmt.Errorf("rosbag2: %w", err)
	}
	chosen, err := chooseTopic(kinds)
	if err != nil {
		return fmt.Errorf("rosbag2: %w", err)
	}
	r.kind = kinds[chosen]
	r.rows, err = r.db.Query("SELECT length(data), data FROM messages WHERE topic_id = ? AND length(data) <= ? ORDER "+
		"BY timestamp, id", ids[chosen], maxMessage)
	if err != nil {
		return fmt.Errorf("rosbag2: %w", err)
	}
	return nil
}

func (r *rosbag2) message() ([]byte, bool, error) {
	if !r.rows.Next() {
		return nil, false, r.rows.Err()
	}
	var n int64
	var data []byte
	if err := r.rows.Scan(&n, &data); err != nil {
		return nil, false, err
	}
	return data, true, nil
}

func (r *rosbag2) close() error {
	var err error
	if r.rows != nil {
		err = r.rows.Close()
	}
	return errors.Join(err, r.db.Close())
}
