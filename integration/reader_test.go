package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readByReader writes events several times, adds partitions in between, and reads them in two parts with the reader of
// python/voxelstream_reader.py.
const readByReader = `
import sys, time
sys.path.insert(0, "../python")
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from voxelstream_reader import UniqueReader

conf, topic = {"bootstrap.servers": sys.argv[1]}, "events"
admin = AdminClient(conf)
for f in admin.create_topics([NewTopic(topic, 2, 1)]).values():
    f.result()

def send(first, last, partitions):
    p = Producer(conf)
    for i in range(first, last):
        p.produce(topic, key=f"s{i % 4}", value=str(i), partition=i % 4 % partitions, headers={"event-id": f"s{i % 4}/{i}@m"})
    assert p.flush(30) == 0

send(0, 200, 2)
send(100, 250, 2)
for f in admin.create_partitions([NewPartitions(topic, 4)]).values():
    f.result()
time.sleep(1)
send(200, 400, 4)

got = []
for part in (130, 400):
    with UniqueReader({**conf, "group.id": "reader"}, topic, follow=False) as reader:
        for m in reader:
            got.append(int(m.value()))
            reader.commit(m)
            if len(got) == part:
                break
assert sorted(got) == list(range(400)), (len(got), len(set(got)))
print("once")
`

// TestPythonReader: the reader for Python yields each event once.
func TestPythonReader(t *testing.T) {
	dir := os.Getenv("VOXELSTREAM_CLIENTS")
	if dir == "" {
		t.Skip("set VOXELSTREAM_CLIENTS to an environment with scripts/clients-requirements.txt")
	}
	py := filepath.Join(dir, "bin", "python")
	w := newWorld(t)
	broker := w.broker()
	defer broker.kill()
	if out, _ := programOutput(t, true, py, "-c", readByReader, w.addr()); strings.TrimSpace(out) != "once" {
		t.Errorf("found %q", out)
	}
}
