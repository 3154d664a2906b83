//go:build unix

package integration

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

// readEncodings compares classifications in Avro and in Protobuf, as base64, with those in a JSON lines file.
const readEncodings = `
import base64, io, json, math, sys
from datetime import datetime
import fastavro
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, json_format

avsc, descriptors, avro, protobuf, lines = sys.argv[1:]
want = {c["event_id"]: c for c in map(json.loads, open(lines))}
schema = fastavro.parse_schema(json.load(open(avsc)))
pool = descriptor_pool.DescriptorPool()
files = descriptor_pb2.FileDescriptorSet.FromString(open(descriptors, "rb").read())
for f in files.file:
    pool.Add(f)
message = message_factory.GetMessageClass(pool.FindMessageTypeByName("voxelstream.Classification"))

def read_avro(b):
    return fastavro.schemaless_reader(io.BytesIO(b), schema)

def read_protobuf(b):
    assert b[:6] == bytes([0, 0, 0, 0, 5, 0]), b[:6]
    m = message.FromString(b[6:])
    d = json_format.MessageToDict(m, preserving_proto_field_name=True)
    return d

def same(name, found, want):
    if isinstance(want, dict):
        for k, v in want.items():
            same(name + "." + k, found.get(k, 0), v)
    elif isinstance(want, list):
        assert len(found) == len(want), (name, found, want)
        for i, (f, w) in enumerate(zip(found, want)):
            same(f"{name}[{i}]", f, w)
    elif isinstance(want, str):
        assert found == want, (name, found, want)
    else:
        assert math.isclose(float(found), want, rel_tol=1e-6), (name, found, want)

for file, read in ((avro, read_avro), (protobuf, read_protobuf)):
    values = [read(base64.b64decode(v)) for v in json.load(open(file))]
    assert len(values) == len(want) == len({v["event_id"] for v in values}), (file, len(values), len(want))
    for v in values:
        w = dict(want[v["event_id"]])
        w.pop("time", None)
        w.pop("latency_ms")
        assert "latency_ms" in v
        same(v["event_id"], v, w)
print("read", len(want))
`

// TestPythonReadsEncodings: fastavro and Google's Protobuf for Python read the messages of a topic with the published
// schemas, and find what is in a JSON lines file.
func TestPythonReadsEncodings(t *testing.T) {
	py := python(t, "fastavro, google.protobuf")
	needHDF5(t)
	w := newWorld(t)
	archive := w.digits("digits.h5", 50, 1)
	w.broker()
	w.do(0, "run", archive, "--table=false", "--to-topic=false", "--out", "all.jsonl",
		"--out", "kafka:avro?encoding=avro", "--out", "kafka:protobuf?encoding=protobuf&schema-id=5")
	c := client(t, w.addr())
	for _, topic := range []string{"avro", "protobuf"} {
		var values []string
		for _, m := range messages(t, c, topic) {
			values = append(values, base64.StdEncoding.EncodeToString(m.Value))
		}
		w.write(topic, must(json.Marshal(values))(t))
	}

	reference := filepath.Join(testenv.Root(), "docs", "reference")
	source := must(os.ReadFile(filepath.Join(reference, "classification.proto")))(t)
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"classification.proto": string(source)}),
	})}
	files := must(compiler.Compile(t.Context(), "classification.proto"))(t)
	w.write("descriptors", must(proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto),
		protodesc.ToFileDescriptorProto(files[0]),
	}}))(t))
	out, err := exec.Command(py, "-c", readEncodings, filepath.Join(reference, "classification.avsc"),
		w.path("descriptors"), w.path("avro"), w.path("protobuf"), w.path("all.jsonl")).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "read 50" {
		t.Fatalf("found %v, want 50 classifications read\n%s", err, out)
	}
}
