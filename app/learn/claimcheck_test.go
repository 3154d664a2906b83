package learn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// TestVolumesOutside: training reads volumes that are objects outside the topic. A missing object is a bad message; a
// place that cannot be read ends training, because the volumes must not be left out silently.
func TestVolumesOutside(t *testing.T) {
	place := filepath.Join(t.TempDir(), "objects")
	a := apptest.New(t, "kafka.claim_check", place, "pipeline.attempts", "2")
	options := voxelize.Options{Dims: [3]int{1, 1, 2}, Colormap: "Oranges"}
	in, err := classify.NewInput(options)
	if err != nil {
		t.Fatal(err)
	}
	value, err := volarrow.Encode(nil, []voxelize.Volume{
		{Dims: options.Dims, Label: 3, Content: voxelize.PaletteContent("Oranges"), Index: []uint8{1, 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	objects := a.ClaimCheck()
	m, err := objects.Deposit(t.Context(), transport.New("s", "s/0", transport.ContentArrow, value))
	if err != nil {
		t.Fatal(err)
	}
	d := newDataset(a, in, nil)
	d.objects, d.retry = objects, pipeline.Retry{Attempts: 2}
	if err := d.addMessage(t.Context(), &m, map[string]bool{}); err != nil || len(d.labels) != 1 || d.labels[0] != 3 {
		t.Fatalf("found the labels %v, %v, want that of the object", d.labels, err)
	}
	missing := m.WithReference(transport.Reference{Size: 5, SHA256: strings.Repeat("ab", 32)})
	if err := d.addMessage(t.Context(), &missing, map[string]bool{}); err != nil || d.bad != 1 ||
		!strings.Contains(d.firstBad.Error(), "not found") {
		t.Errorf("found %d bad messages, %v, %v, want 1", d.bad, d.firstBad, err)
	}
	if err := os.Rename(place, place+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := d.addMessage(t.Context(), &m, map[string]bool{}); err == nil || d.bad != 1 {
		t.Errorf("found %v and %d bad messages, want an error", err, d.bad)
	}
	if err := objects.Close(); err != nil {
		t.Error(err)
	}
}
