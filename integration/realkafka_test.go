package integration

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport/transporttest"
)

// TestRealKafka runs the transport's suite against Apache Kafka, started from Maven artifacts by scripts/real-kafka.sh.
func TestRealKafka(t *testing.T) {
	needRealKafka(t)
	transporttest.Run(t, func(t testing.TB) transporttest.Broker {
		dir, port := t.TempDir(), freePorts(t, 2)
		script := func(t testing.TB, command string) string {
			t.Helper()
			return realKafka(t, command, dir, strconv.Itoa(port))
		}
		addr := script(t, "start")
		t.Cleanup(func() { script(t, "kill") })
		return transporttest.Broker{
			Addr: addr, Down: 10 * time.Second,
			Restart: func(t testing.TB, down time.Duration) {
				script(t, "kill")
				time.Sleep(down)
				script(t, "start")
			},
		}
	})
}

// needRealKafka skips where Apache Kafka is not wanted or cannot run.
func needRealKafka(t *testing.T) {
	t.Helper()
	if os.Getenv("VOXELSTREAM_REAL_KAFKA") == "" {
		t.Skip("real Kafka runs with VOXELSTREAM_REAL_KAFKA=1 (it fetches 46 MB of jars once), as make integration " +
			"sets it")
	}
	for _, tool := range []string{"bash", "java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("real Kafka needs java 17, mvn and bash: %v", err)
		}
	}
}

// realKafka runs a command of scripts/real-kafka.sh and returns what it prints.
func realKafka(t testing.TB, command, dir string, more ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	c := exec.Command("scripts/real-kafka.sh", append([]string{command, dir}, more...)...)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("real-kafka.sh %s: %v: %s", command, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// freePorts finds the first of so many free ports in a row.
func freePorts(t testing.TB, count int) int {
	t.Helper()
	for range 1000 {
		first := 10_000 + rand.IntN(20_000) // below the range from which the kernel takes ports for connections
		if free(first, count) {
			return first
		}
	}
	t.Fatalf("no %d free ports in a row", count)
	return 0
}

func free(first, count int) bool {
	for port := first; port < first+count; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}
