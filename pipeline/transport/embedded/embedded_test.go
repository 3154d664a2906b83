package embedded_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/transporttest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerDir); dir != "" {
		serve(dir)
	}
	goleak.VerifyTestMain(m)
}

// brokerDir is the environment variable that makes the test binary a broker.
const brokerDir = "TEST_BROKER_DIR"

// serve runs a broker until the process is killed.
func serve(dir string) {
	b, err := embedded.Start(embedded.Config{DataDir: dir, SegmentBytes: 1 << 20, RetentionBytes: 1 << 30})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(b.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func TestSuite(t *testing.T) {
	transporttest.Run(t, func(t testing.TB) transporttest.Broker {
		dir := t.TempDir()
		b, err := embedded.Start(embedded.Config{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		return transporttest.Broker{Addr: b.Addr(), Restart: func(t testing.TB, down time.Duration) {
			_, port, err := net.SplitHostPort(b.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(down)
			n, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			if b, err = embedded.Start(embedded.Config{DataDir: dir, Port: n}); err != nil {
				t.Fatal(err)
			}
		}}
	})
}
