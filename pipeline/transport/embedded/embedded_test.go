package embedded_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
