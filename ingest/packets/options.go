package packets

import "github.com/voxelstream/voxelstream/ingest"

// Options are the options of this package's readers.
type Options struct {
	Calibration string `yaml:"calibration" flag:"calibration" doc:"Calibration file of a recorded lidar: a table of angles (CSV) for a PandarQT64 or Helios-16P, YAML for a Velodyne, or metadata (JSON) for an Ouster."`
	Trajectory  string `yaml:"trajectory" flag:"trajectory" doc:"Poses of a moving lidar, as lines of time tx ty tz qx qy qz qw like TUM's groundtruth.txt, used for motion compensation: points are transformed to the sensor's pose at the start of the sweep. Empty means the sensor was stationary."`
	Topic       string `yaml:"topic" flag:"topic" doc:"Topic of a ROS recording to read. Empty reads every topic of lidar packets or, if there are none, of point clouds, each as a stream of its own."`
	Sensor      string `yaml:"sensor" flag:"sensor" doc:"Lidar of a recording to read: its address, its name as shown by inspect, or its model. Empty reads each as a stream of its own."`
	Port        int    `yaml:"port" flag:"port" min:"0" max:"65535" doc:"UDP destination port of the lidar packets to read from a network capture. 0 means any."`
}

func newOptions() any { return &Options{} }

// optionsOf returns this package's options in o.
func optionsOf(o ingest.Options) Options { return ingest.ReaderOptions(o, Options{}) }
