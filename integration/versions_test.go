//go:build unix

package integration

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

// previousRelease is the commit of the last version before volumes had a version 2. A rolling upgrade has both on one
// topic.
const previousRelease = "b959f466b51e49dc51e05de02fd438052bacc717"

// errNoHistory says that the sources of the previous release are not here.
var errNoHistory = errors.New("the git history does not hold the previous release (a shallow clone?)")

// buildPrevious builds the binary of the previous release from the git history, once.
var buildPrevious = sync.OnceValues(func() (string, error) {
	git := exec.Command("git", "archive", "--format=tar", previousRelease)
	git.Dir = testenv.Root()
	archive, err := git.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", errNoHistory, previousRelease)
	}
	dir := filepath.Join(buildDir, "previous")
	if err := unpack(dir, archive); err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bin-previous")
	cmd := exec.Command("go", "build", "-tags", strings.Join(buildTags, ","), "-o", bin,
		"./cmd/voxelstream")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build of %s: %w\n%s", previousRelease, err, out)
	}
	return bin, nil
})

// unpack writes the files of a tar archive of git into dir.
func unpack(dir string, archive []byte) error {
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, content, fs.FileMode(h.Mode&0o700)); err != nil {
			return err
		}
	}
}

// previous is the path of the binary of the previous release, or skips the test.
func previous(t *testing.T) string {
	t.Helper()
	bin, err := buildPrevious()
	if errors.Is(err, errNoHistory) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// grids writes n grids that differ, in five files.
func (w *world) grids(name string, n, seed int) (paths []string) {
	w.t.Helper()
	const files = 5
	for k := range files {
		values := make([]float32, n/files*16*16*16)
		for i := range values {
			values[i] = float32((i*i/7 + i/4096*31 + seed*17 + k*5) % 251)
		}
		paths = append(paths, w.write(fmt.Sprintf("%s-%d.npy", name, k), npyOf([]int{n / files, 16, 16, 16}, values)))
	}
	return paths
}

// said is a classification without what differs from time to time.
func said(c record.Classification) string {
	return fmt.Sprint(c.EventID, c.Stream, c.Seq, c.Model, c.Class, c.Name, c.Score, c.TopK, c.Label)
}

// sameOfAll wants two lists to hold the same classifications, each once.
func sameOfAll(t *testing.T, what string, got, want []record.Classification) {
	t.Helper()
	lines := func(cs []record.Classification) (all []string) {
		for _, c := range cs {
			all = append(all, said(c))
		}
		slices.Sort(all)
		return all
	}
	g, w := lines(got), lines(want)
	if len(g) != len(w) {
		t.Errorf("%s: found %d classifications, want %d", what, len(g), len(w))
	}
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("%s: found %s, want %s", what, g[i], w[i])
			return
		}
	}
}

// TestMixedVersions: the previous release and this one share a topic, in both directions and in one group, and every
// volume is classified once, alike. Volumes of raw values become dead letters with a reason in the previous release,
// and are classified by this one.
func TestMixedVersions(t *testing.T) {
	slow(t)
	old := previous(t)
	w := newWorld(t)
	w.broker()
	c := client(t, w.addr())
	// That of the previous release: the built-in ones differ in their metadata.
	w.set("model.path", filepath.Join(filepath.Dir(old), "pipeline", "app", "builtin", "digits.safetensors"))
	w.set("pipeline.batch", 8)
	const rows = 50
	run := func(bin string, code int, args ...string) *process {
		t.Helper()
		p := start(t, bin, w.dir, w.env, args...)
		p.wait(t, code)
		return p
	}
	run(old, exitDone, append([]string{"ingest"}, w.grids("old", rows, 1)...)...)
	run(w.bin, exitDone, append([]string{"ingest"}, w.grids("new", rows, 2)...)...)

	// Each reads what both have sent, in a group of its own.
	classify := func(bin, group string, code int, more ...string) []record.Classification {
		t.Helper()
		out := w.path(group + ".jsonl")
		p := start(t, bin, w.dir, append(slices.Clone(w.env), "VOXELSTREAM_SINKS_KAFKA=false",
			"VOXELSTREAM_KAFKA_GROUP="+group),
			append([]string{"classify", "--once", "--out", out}, more...)...)
		p.wait(t, code)
		return stored(t, out)
	}
	byOld, byNew := classify(old, "old", exitDone), classify(w.bin, "new", exitDone)
	want := ids(t, "old", byOld)
	if len(want) != 2*rows {
		t.Fatalf("the previous release classified %d volumes, want %d", len(want), 2*rows)
	}
	sameOfAll(t, "this version", byNew, byOld)

	// Both are members of one group: each partition is read by one of them.
	group := append(slices.Clone(w.env), "VOXELSTREAM_KAFKA_GROUP=both")
	members := []*process{start(t, old, w.dir, group, "classify", "--out", w.path("both-old.jsonl"))}
	onTopic := func(n int) {
		t.Helper()
		members[0].until(t, fmt.Sprintf("%d classifications on the topic", n), func() bool {
			return len(ids(t, "topic classifications", published(t, c))) == n
		})
	}
	onTopic(2 * rows)
	members = append(members, start(t, w.bin, w.dir, group, "classify", "--out", w.path("both-new.jsonl")))
	for _, p := range members {
		p.until(t, "its half of the partitions",
			func() bool { return strings.Contains(p.stderr.String(), "partitions=2") })
	}
	run(w.bin, exitDone, append([]string{"ingest"}, w.grids("more-new", rows, 3)...)...)
	run(old, exitDone, append([]string{"ingest"}, w.grids("more-old", rows, 4)...)...)
	onTopic(4 * rows)
	for i, name := range []string{"both-old.jsonl", "both-new.jsonl"} {
		members[i].terminate(t)
		<-members[i].done
		if len(stored(t, w.path(name))) == 0 {
			t.Errorf("%s: found no classifications, want those of half of the partitions", name)
		}
	}
	all := published(t, c)
	if n := len(ids(t, "topic classifications", all)); n != 4*rows {
		t.Errorf("found %d classifications on the topic, want %d", n, 4*rows)
	}
	sameOfAll(t, "topic classifications", slices.DeleteFunc(all,
		func(c record.Classification) bool { return !want[c.EventID] }), byOld)
	if dead := messages(t, c, transport.TopicDeadLetters); len(dead) != 0 {
		t.Errorf("found %d dead letters, want none", len(dead))
	}
	classify(old, "old", exitDone) // both have read all that there is
	classify(w.bin, "new", exitDone)

	// Raw values need version 2, which the previous release has not.
	run(w.bin, exitDone, append([]string{"ingest", "--values", "raw"}, w.grids("raw", rows, 5)...)...)
	raw := messages(t, c, transport.TopicVolumes)
	raw = slices.DeleteFunc(raw, func(m transport.Message) bool {
		schema, _ := m.Header(transport.HeaderSchema)
		return schema != "volumes/2"
	})
	if refused := classify(old, "old", exitDeadLetters); len(refused) != len(byOld)+2*rows {
		t.Errorf("the previous release has classified %d volumes, want the %d of before", len(refused),
			len(byOld)+2*rows)
	}
	dead := messages(t, c, transport.TopicDeadLetters)
	if len(dead) != len(raw) || len(raw) == 0 {
		t.Errorf("found %d dead letters of %d messages, want one of each", len(dead), len(raw))
	}
	for _, m := range dead {
		if d, err := transport.ReadDeadLetter(m); err != nil || d.Stage != "decode" ||
			!strings.Contains(d.Error, "foreign schema") {
			t.Errorf("found dead letter %+v, %v, want a foreign schema", d, err)
		}
	}
	byNew = classify(w.bin, "new", exitDone, "--model", w.rawModel())
	found := map[string]bool{}
	for _, c := range byNew {
		if strings.HasPrefix(c.Stream, "raw-") {
			found[c.EventID] = true
		}
	}
	if len(found) != rows {
		t.Errorf("this version classified %d volumes of raw values, want %d", len(found), rows)
	}
}

// rawModel writes a network that takes values as they are.
func (w *world) rawModel() string {
	w.t.Helper()
	m := must(nn.Sequential("raw", nn.Shape{16, 16, 16, 1}, layers.NewFlatten(), layers.NewDense(3, "softmax")))(w.t)
	m.Init(1)
	path := w.path("raw.keras")
	if err := format.Save(path, m); err != nil {
		w.t.Fatal(err)
	}
	return path
}
