package packets

import "github.com/voxelstream/voxelstream/ingest"

// Options are those of the readers of this package.
type Options struct {
	Calibration string `yaml:"calibration" flag:"calibration" doc:"Calibration file of a recorded lidar: angles (CSV) of a PandarQT64 or Helios-16P, or the YAML of a Velodyne."`
	Trajectory  string `yaml:"trajectory" flag:"trajectory" doc:"Poses of a moving lidar, as lines of time tx ty tz qx qy qz qw like TUM's groundtruth.txt. Points of a recording are moved to where they would be seen from the place of the sensor when the turn began. Empty: it stood still."`
}

func newOptions() any { return &Options{} }

// optionsOf are the options that o holds.
func optionsOf(o ingest.Options) Options { return ingest.ReaderOptions(o, Options{}) }
