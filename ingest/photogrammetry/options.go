package photogrammetry

// Options are the options of this package's readers: filters for uncertain points, and the axes and unit of the
// reconstruction, which photographs alone do not determine.
type Options struct {
	MaxReprojection float64 `yaml:"max_reprojection" flag:"max-reprojection" min:"0" doc:"Maximum mean reprojection error, in pixels, of points from a photogrammetric reconstruction; others are skipped. 0 keeps all."`
	MinTrack        int     `yaml:"min_track" flag:"min-track" min:"0" doc:"Minimum number of images that see a point of a photogrammetric reconstruction; others are skipped. 0 keeps all."`
	Up              string  `yaml:"up" flag:"up" enum:"z,y,x,-x,-y,-z,cameras" doc:"Axis of a photogrammetric reconstruction that points up. The points are rotated so that z points up. cameras uses the mean up direction of the photographs."`
	MetresPerUnit   float64 `yaml:"metres_per_unit" flag:"metres-per-unit" min:"0" doc:"Length of a unit of a photogrammetric reconstruction in metres. 0 means 1."`
}

func newOptions() any { return &Options{Up: "z"} }
