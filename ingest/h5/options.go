package h5

// ReaderOptions are the settings of the reader in the configuration.
type ReaderOptions struct {
	Signed bool `yaml:"signed" flag:"signed" doc:"Accept negative values in grids of HDF5 files, such as Hounsfield units."`
}

func newReaderOptions() any { return &ReaderOptions{} }
