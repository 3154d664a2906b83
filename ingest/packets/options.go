package packets

import "github.com/voxelstream/voxelstream/ingest"

// Options are the options of this package's readers.
type Options struct {
	Calibration string `yaml:"calibration" flag:"calibration" doc:"Calibration file of a recorded lidar: a table of angles (CSV) for a PandarQT64 or Helios-16P, or YAML for a Velodyne."`
	Trajectory  string `yaml:"trajectory" flag:"trajectory" doc:"Poses of a moving lidar, as lines of time tx ty tz qx qy qz qw like TUM's groundtruth.txt, used for motion compensation: points are transformed to the sensor's pose at the start of the turn. Empty means the sensor was stationary."`
}

func newOptions() any { return &Options{} }

// optionsOf returns this package's options in o.
func optionsOf(o ingest.Options) Options { return ingest.ReaderOptions(o, Options{}) }
