package stream

import (
	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
)

// Broker is a running embedded broker.
type Broker struct {
	Address string `json:"address"`
	DataDir string `json:"data_dir"`
	broker  *embedded.Broker
}

// StartBroker starts the embedded broker as configured. The caller must call Close.
func StartBroker(a *app.Env) (*Broker, error) {
	b, err := startBroker(a)
	if err != nil {
		return nil, err
	}
	return &Broker{Address: b.Addr(), DataDir: a.Config.Broker.DataDir, broker: b}, nil
}

// Close stops the broker. Its log remains.
func (b *Broker) Close() error { return b.broker.Close() }
