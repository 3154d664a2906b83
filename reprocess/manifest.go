package reprocess

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/voxelstream/voxelstream/internal/store"
)

// ManifestName is the name of the file in the store that describes a job.
const ManifestName = "manifest.json"

const (
	rejectedName = "rejected.jsonl"
	reportJSON   = "report.json"
	reportHTML   = "report.html"
)

// ErrOther means that the store holds something other than an earlier run of the same job.
var ErrOther = errors.New("the output is not from an earlier run of the same job")

// manifestVersion is the version of the manifest.
const manifestVersion = 1

// manifest describes a job. It lies beside the results.
type manifest struct {
	Version  int      `json:"manifest"`
	Settings Settings `json:"settings"`
	// Complete reports that the results are complete.
	Complete bool    `json:"complete"`
	Inputs   []Input `json:"inputs"`
	Shards   []Shard `json:"shards"`
	// Outputs are the files that the job has made or, until it is complete, those that it or an earlier one may have
	// made.
	Outputs []outputFile `json:"outputs,omitempty"`
}

// outputFile is a file in the store.
type outputFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Table returns the name of the table of results in the store of a job, which must be complete.
func Table(ctx context.Context, s store.Store) (string, error) {
	var m manifest
	j := &Job{Store: s}
	err := j.getJSON(ctx, ManifestName, &m)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: found no %s, want the output of reprocess", s, ManifestName)
	case err != nil:
		return "", fmt.Errorf("%s: %w", s, err)
	case !m.Complete || len(m.Outputs) == 0:
		return "", fmt.Errorf("%s: the job is not complete; repeat its command", s)
	}
	return m.Outputs[0].Name, nil
}

func (j *Job) manifest(p *Plan, outputs []outputFile) *manifest {
	return &manifest{
		Version: manifestVersion, Settings: j.Settings, Complete: outputs != nil, Inputs: p.Inputs, Shards: p.Shards,
		Outputs: outputs,
	}
}

// tables returns the names of the tables of results.
func (j *Job) tables() []string {
	names := make([]string, len(j.Formats))
	for i, f := range j.Formats {
		names[i] = "results" + f.Extensions[0]
	}
	return names
}

// continued returns an error if a job does not continue the one of the manifest: other settings, or inputs that are
// missing now.
func (m *manifest) continued(j *Job, p *Plan) error {
	if err := m.version(j); err != nil {
		return err
	}
	if what := m.Settings.differ(&j.Settings); what != "" {
		return fmt.Errorf("%s: %w: it was made with another %s; use another --out, or --force to discard it", j.Store,
			ErrOther, what)
	}
	now := map[string]bool{}
	for _, in := range p.Inputs {
		now[in.File] = true
	}
	gone := 0
	first := ""
	for _, in := range m.Inputs {
		if in.Used() && !now[in.File] {
			gone++
			if first == "" {
				first = in.File
			}
		}
	}
	if gone > 0 {
		return fmt.Errorf("%s: %w: it holds results of %s that %s not an input now, first %s; use another --out, "+
			"or --force to discard them", j.Store, ErrOther, count(gone, "file"), isAre(gone), first)
	}
	return nil
}

// version returns an error if the manifest is of another version.
func (m *manifest) version(j *Job) error {
	if m.Version == manifestVersion {
		return nil
	}
	return fmt.Errorf("%s: %w: found a manifest of version %d, want %d", j.Store, ErrOther, m.Version, manifestVersion)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// differ names the first setting that is not the same, with both values.
func (s *Settings) differ(now *Settings) string {
	switch {
	case s.Version != now.Version:
		return fmt.Sprintf("version: %s, now %s", s.Version, now.Version)
	case s.Model.Digest != now.Model.Digest:
		return fmt.Sprintf("model: %s, version %s, now %s, version %s", s.Model.Name, s.Model.Version, now.Model.Name,
			now.Model.Version)
	case s.Model != now.Model:
		return fmt.Sprintf("name of the model: %s, now %s", s.Model.Name, now.Model.Name)
	case s.ShardRows != now.ShardRows:
		return fmt.Sprintf("number of rows per shard: %d, now %d (repeat --shard-rows %[1]d)", s.ShardRows, now.ShardRows)
	}
	keys := slices.Sorted(maps.Keys(s.Config))
	for _, k := range slices.Sorted(maps.Keys(now.Config)) {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		if s.Config[k] != now.Config[k] {
			return fmt.Sprintf("%s: %q, now %q", k, s.Config[k], now.Config[k])
		}
	}
	return ""
}
