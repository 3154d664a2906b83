package photogrammetry

// Options are the options of this package's readers: filters for uncertain points.
type Options struct {
	MaxReprojection float64 `yaml:"max_reprojection" flag:"max-reprojection" min:"0" doc:"Maximum mean reprojection error, in pixels, of points from a photogrammetric reconstruction; others are skipped. 0 keeps all."`
	MinTrack        int     `yaml:"min_track" flag:"min-track" min:"0" doc:"Minimum number of images that see a point of a photogrammetric reconstruction; others are skipped. 0 keeps all."`
}

func newOptions() any { return &Options{} }
