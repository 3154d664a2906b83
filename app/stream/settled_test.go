package stream

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// ending is a log that ends something when it is written to.
type ending struct {
	strings.Builder
	end context.CancelFunc
}

func (e *ending) Write(b []byte) (int, error) {
	defer e.end()
	return e.Builder.Write(b)
}

// TestNotSettled waits for brokers that do not answer. That is logged, or a command would seem to do nothing.
func TestNotSettled(t *testing.T) {
	client, err := kafka.Open(kafka.Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := &ending{end: cancel}
	a := apptest.New(t)
	a.Log = slog.New(slog.NewTextHandler(said, nil))
	if err := (&cluster{client: client}).whenSettled(ctx, a, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want the end of the context", err)
	}
	if !strings.Contains(said.String(), "cannot find out how many volumes are waiting") {
		t.Errorf("the log says %q", said.String())
	}
}
