package table_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

func TestMetadata(t *testing.T) {
	keys, values := table.Metadata()
	m := map[string]string{}
	for i, k := range keys {
		m[k] = values[i]
	}
	get := func(key string) string { return m[key] }
	if version, err := table.CheckMetadata(get); err != nil || version != record.SchemaVersion {
		t.Errorf("found %d, %v", version, err)
	}
	m[table.KeyVersion] = "1"
	if version, err := table.CheckMetadata(get); err != nil || version != 1 {
		t.Errorf("found %d, %v", version, err)
	}
	for _, c := range []struct{ key, value, want string }{
		{table.KeyVersion, strconv.Itoa(record.SchemaVersion + 1), "a newer release"},
		{table.KeyVersion, "", "want a number"},
		{table.KeyKind, "grids", "not made by this program"},
	} {
		m[c.key] = c.value
		if _, err := table.CheckMetadata(get); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: found %v, want %q", c.key, c.value, err, c.want)
		}
	}
}
