package config

import (
	"fmt"
	"net"
	"slices"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/serve/models"
)

// Serve is the section serve.
type Serve struct {
	Models          []string `yaml:"models" flag:"model" items:"whole" doc:"Model files to serve, as FILE or NAME=FILE. NAME defaults to the file name without its extension. Without models and repository, model.path is served."`
	models.Settings `yaml:",inline"`
	GRPC            string       `yaml:"grpc" flag:"grpc" doc:"HOST:PORT on which to serve the Open Inference Protocol over gRPC. Empty: no gRPC."`
	Control         bool         `yaml:"control" doc:"Allow clients to load, unload and switch models."`
	TrainLog        string       `yaml:"train_log" flag:"train-log" doc:"CSV file from train --history or Keras's CSVLogger, whose curves the web page shows and updates when the file changes."`
	MaxBody         option.Bytes `yaml:"max_body" min:"1KiB" max:"1GiB" doc:"Maximum size of a request."`
	MaxMemory       option.Bytes `yaml:"max_memory" min:"1KiB" doc:"Maximum size of all requests in progress. Further requests are rejected with status 429."`
}

// Validate reports an invalid address, a model that is named twice, and limits that contradict each other.
func (s *Serve) Validate() error {
	if s.GRPC != "" {
		if _, _, err := net.SplitHostPort(s.GRPC); err != nil {
			return fmt.Errorf("grpc: found %q, want HOST:PORT", s.GRPC)
		}
	}
	for i, m := range s.Models {
		if slices.Contains(s.Models[:i], m) {
			return fmt.Errorf("models[%d]: found %s a second time", i, m)
		}
	}
	if s.MaxMemory < s.MaxBody {
		return fmt.Errorf("max_memory: found %v, want at least serve.max_body (%v)", s.MaxMemory, s.MaxBody)
	}
	return nil
}

func defaultServe() Serve {
	return Serve{
		Models: []string{}, Settings: models.NewSettings(), Control: true, MaxBody: 64 << 20, MaxMemory: 512 << 20,
	}
}
