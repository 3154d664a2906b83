package stream

import (
	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
)

// Broker is an embedded broker that runs by itself.
type Broker struct {
	Address string `json:"address"`
	DataDir string `json:"data_dir"`
	broker  *embedded.Broker
}

// StartBroker starts the broker of the configuration. Close it.
func StartBroker(a *app.Env) (*Broker, error) {
	b, err := startBroker(a)
	if err != nil {
		return nil, err
	}
	return &Broker{Address: b.Addr(), DataDir: a.Config.Broker.DataDir, broker: b}, nil
}

// Close stops the broker; its log stays.
func (b *Broker) Close() error { return b.broker.Close() }
