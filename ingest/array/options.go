package array

// Options are those of the readers of this package.
type Options struct {
	Part string `yaml:"part" flag:"part" doc:"Arrays of an .npz archive to read, by the beginning of a word of their names: train, val or test. Empty: all."`
}

func newOptions() any { return &Options{} }
