package predict_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/app/predict"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/classifier"
	v1 "github.com/voxelstream/voxelstream/serve/v1"
)

// TestEqualsServer: the predictions for a file are the answer of POST /v1/classify.
func TestEqualsServer(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.xyz")
	data := []byte("0 0 0\n1 2 3\n2 1 0\n2 2 2\n0.5 1 2\n")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t)
	var found []*predict.Item
	err := predict.Files(t.Context(), a, []string{file}, "", func(item *predict.Item) error {
		found = append(found, item)
		return nil
	})
	if err != nil || len(found) != 1 || found[0].Prediction == nil {
		t.Fatalf("found %v and error %v", found, err)
	}

	m, err := models.Configured(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	c, err := classify.New(m.Model, classify.Options{
		Model: m.Info, TopK: a.Config.Model.TopK, Threads: 1, Preferences: classify.PreferencesIn(a.Config.Voxelize),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	api := v1.New(v1.Options{
		Find: func(string, string) (*classifier.Model, error) {
			return &classifier.Model{
				Input: c.Input(),
				Classify: func(ctx context.Context, items []classify.Item) ([]record.Classification, error) {
					return c.ProcessBatch(ctx, items)
				},
			}, nil
		},
		Reading: a.Arriving(), Voxelize: a.Config.Voxelize, MaxBody: 1 << 20, Requests: 1,
	})
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/v1/classify?name=c.xyz", bytes.NewReader(data)))
	var want []predict.Prediction
	if err := json.Unmarshal(answer.Body.Bytes(), &want); err != nil || len(want) != 1 {
		t.Fatalf("found the answer %s and error %v", answer.Body, err)
	}
	got, err := json.Marshal(found[0].Prediction)
	if err != nil {
		t.Fatal(err)
	}
	if server, err := json.Marshal(want[0]); err != nil || !bytes.Equal(got, server) {
		t.Errorf("predict found %s, the server %s (%v)", got, server, err)
	}
}

// TestFailedRows: rows that cannot be read, more than a batch of them, are reported once and in order, and each is not
// called after it has failed.
func TestFailedRows(t *testing.T) {
	const rows, bad = 200, 90
	file := filepath.Join(t.TempDir(), "a.npz")
	if err := ingest.WriteFile(file, func(w io.Writer) error {
		z := zip.NewWriter(w)
		x, err := z.Create("x.npy")
		if err != nil {
			return err
		}
		if err := array.WriteFloat32(x, []int{rows, 4, 4, 4}, make([]float32, rows*4*4*4)); err != nil {
			return err
		}
		y, err := z.Create("y.npy")
		if err != nil {
			return err
		}
		labels := make([]float32, rows)
		for i := range bad {
			labels[i] = .5 // no class has this number
		}
		return errors.Join(array.WriteFloat32(y, []int{rows}, labels), z.Close())
	}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for _, last := range []int{rows, 40, 100} { // calls of each until it fails
		var found []string
		err := predict.Files(t.Context(), apptest.New(t), []string{file}, "", func(item *predict.Item) error {
			if len(found) < bad && item.Err == "" {
				t.Errorf("%s was classified", item.ID)
			}
			found = append(found, item.ID[strings.LastIndex(item.ID, "/")+1:])
			if len(found) == last && last < rows {
				return refused
			}
			return nil
		})
		if err == nil || errors.Is(err, refused) != (last < rows) {
			t.Errorf("up to row %d: found error %v", last, err)
		}
		want := make([]string, last)
		for i := range want {
			want[i] = strconv.Itoa(i)
		}
		if !slices.Equal(found, want) {
			t.Errorf("up to row %d: found %v", last, found)
		}
	}
}

// TestRows: chosen rows of an archive keep their IDs, and are drawn. A row that is not there is an error.
func TestRows(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	a := apptest.New(t)
	file, picture := filepath.Join(dir, "d.h5"), filepath.Join(dir, "d.png")
	g := files.GenerateOptions{Out: file, Count: 6, Grid: 16, Layout: "vectors"}
	if _, err := files.Generate(t.Context(), a, g); err != nil {
		t.Fatal(err)
	}
	read := func(rows app.Rows, picture string) (items []string, err error) {
		a.Rows = rows
		err = predict.Files(t.Context(), a, []string{file}, picture, func(item *predict.Item) error {
			items = append(items, fmt.Sprint(item.ID, item.Class))
			return nil
		})
		return items, err
	}
	all, err := read(app.Rows{}, "")
	if err != nil || len(all) != 6 {
		t.Fatalf("found %q and %v, want 6 items", all, err)
	}
	some, err := read(app.Rows{First: 2, End: 5}, picture)
	if err != nil || !slices.Equal(some, all[2:5]) {
		t.Errorf("found %q and %v, want %q", some, err, all[2:5])
	}
	if c, err := os.Open(picture); err != nil {
		t.Error(err)
	} else if _, err := png.Decode(c); err != nil {
		t.Error(err)
	}
	a.Force = false
	if _, err := read(app.Rows{First: 2, End: 5}, picture); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("found %v, want the picture not to be overwritten", err)
	}
	if _, err := read(app.Rows{First: 6, End: 9}, ""); err == nil ||
		!strings.Contains(err.Error(), "found no rows 6 to 8") {
		t.Errorf("found %v, want that there is no such row", err)
	}
}
