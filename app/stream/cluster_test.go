package stream

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// TestCloseGivesUp: after a signal, messages that the broker does not take hold up the end for the drain time at most.
func TestCloseGivesUp(t *testing.T) {
	broker, err := startBroker(apptest.New(t, "broker.data_dir", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t, "kafka.brokers", broker.Addr(), "pipeline.drain", "50ms")
	ctx, interrupt := context.WithCancel(t.Context())
	cl, err := connect(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := cl.producer.Produce(context.WithoutCancel(ctx), a.Config.Kafka.Volumes,
			transport.New("s", "k", "text/plain", []byte("1")))
		sent <- err
	}()
	time.Sleep(300 * time.Millisecond) // by then it is being sent; if not, it is refused at once
	interrupt()
	err = cl.close(ctx)
	if failed := <-sent; failed == nil {
		t.Error("the message was sent to a broker that is closed")
	}
	if err != nil && !strings.Contains(err.Error(), "not sent within 50ms") {
		t.Errorf("found %v", err)
	}
}

// TestNoBroker: an address at which no broker listens is an error that says what to check.
func TestNoBroker(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t, "kafka.brokers", address)
	_, err = dial(t.Context(), a, existingBroker, time.Nanosecond)
	want := "kafka: reach " + address + ": connection refused by " + address + "; check host and port in --brokers"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("found %v, want %s", err, want)
	}
}
