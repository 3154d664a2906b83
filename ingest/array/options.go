package array

// Options are the options of this package's readers.
type Options struct {
	Part string `yaml:"part" flag:"part" doc:"Arrays of an .npz archive to read: those whose name contains a word that starts with this, such as train, val or test. Empty reads all."`
}

func newOptions() any { return &Options{} }
