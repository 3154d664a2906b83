package photogrammetry

// Options are those of the readers of this package: filters of uncertain points.
type Options struct {
	MaxReprojection float64 `yaml:"max_reprojection" flag:"max-reprojection" min:"0" doc:"Leave out points of a photogrammetric reconstruction whose mean reprojection error, in pixels, is greater. 0: keep all."`
	MinTrack        int     `yaml:"min_track" flag:"min-track" min:"0" doc:"Leave out points of a photogrammetric reconstruction seen in fewer images. 0: keep all."`
}

func newOptions() any { return &Options{} }
