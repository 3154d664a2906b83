package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// addressFile is the file in the data directory of the embedded broker with the process ID and the address of the
// process that used it last. Commands find a running broker by it.
const (
	addressFile = "address"
	maxAddress  = 256 // bytes
)

// publishAddress writes the address file.
func publishAddress(dir, address string) error {
	path := filepath.Join(dir, addressFile)
	temp := path + ".new" // a reader never sees half a file
	if err := os.WriteFile(temp, fmt.Appendf(nil, "%d %s\n", os.Getpid(), address), 0o640); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// runningAddress returns the address of the embedded broker that the process holding the data directory runs, or an
// empty string. That process has written its ID into the lock file too.
func runningAddress(dir string) string {
	holder, err := regular.Read(filepath.Join(dir, "lock"), maxAddress)
	if err != nil {
		return ""
	}
	b, err := regular.Read(filepath.Join(dir, addressFile), maxAddress)
	if err != nil {
		return ""
	}
	pid, address, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if pid != strings.TrimSpace(string(holder)) {
		return ""
	}
	return address
}

// existingBroker starts the embedded broker, unless another process runs it. Then it returns nil. It does not create a
// data directory: a command that only reads what others have written finds nothing in a new one.
func existingBroker(a *app.Env) (*embedded.Broker, error) {
	dir := a.Config.Broker.DataDir
	if _, err := os.Stat(filepath.Join(dir, "log")); errors.Is(err, os.ErrNotExist) {
		return nil, app.Usage(fmt.Errorf("no embedded broker has data in %s; name a cluster with --brokers or another "+
			"directory with --broker-data-dir", dir))
	}
	b, err := startBroker(a)
	if err == nil || runningAddress(dir) == "" {
		return b, err
	}
	return nil, nil //nolint:nilnil // see above
}

// WithClient runs f with a connection to Kafka, on which missing topics are created. An embedded broker must have data,
// and may be that of another process.
func WithClient(ctx context.Context, a *app.Env, f func(*kafka.Client) error) error {
	cl, err := dial(ctx, a, existingBroker, shortPatience)
	if err == nil {
		cl, err = cl.complete(ctx, a)
	}
	if err != nil {
		return err
	}
	return errors.Join(f(cl.client), cl.close(ctx))
}

// Reading runs f with a connection to Kafka that creates neither topics nor a data directory. The topic that f reads
// must exist.
func Reading(ctx context.Context, a *app.Env, topic string, f func(*kafka.Client) error) error {
	return looking(ctx, a, func(cl *cluster) error {
		if err := cl.checkTopic(ctx, topic); err != nil {
			return err
		}
		return f(cl.client)
	})
}

// looking runs f with a connection to Kafka that creates neither topics nor a data directory, and has no producer.
func looking(ctx context.Context, a *app.Env, f func(*cluster) error) error {
	cl, err := dial(ctx, a, existingBroker, shortPatience)
	if err != nil {
		return err
	}
	return errors.Join(f(cl), cl.close(ctx))
}

// checkTopic returns an error if a topic that is to be read does not exist.
func (cl *cluster) checkTopic(ctx context.Context, topic string) error {
	reach, cancel := app.Reaching(ctx)
	defer cancel()
	err := cl.client.CheckTopic(reach, topic)
	if errors.Is(err, kafka.ErrNoTopic) {
		return app.Usage(fmt.Errorf("topic %s does not exist on this cluster; voxelstream topics --all lists those that do",
			topic))
	}
	return err
}
