package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestClaimCheck: with a place for objects, grids are limited by the size of objects, and the budget has to hold one.
func TestClaimCheck(t *testing.T) {
	place := "VOXELSTREAM_KAFKA_CLAIM_CHECK=objects"
	for _, c := range []struct {
		grid int // of float32 values
		env  []string
		want string
	}{
		{128, nil, ""},
		{160, nil, "voxelize.grid: found 160, want volumes of at most half of kafka.max_message (16MiB), " +
			"or kafka.claim_check"},
		{160, []string{place}, ""},
		{256, []string{place}, ""},
		{257, []string{place}, "want volumes of at most half of kafka.claim_check_max (128MiB)"},
		{16, []string{place, "VOXELSTREAM_PIPELINE_BUDGET=143MiB"}, "pipeline.budget: found 143MiB, want at least " +
			"kafka.claim_check_max (128MiB) and kafka.max_message (16MiB) together"},
		{16, []string{place, "VOXELSTREAM_PIPELINE_BUDGET=144MiB"}, ""},
		{16, []string{place, "VOXELSTREAM_KAFKA_CLAIM_CHECK_MAX=16MiB"}, "claim_check_max: found 16MiB, want more than " +
			"kafka.max_message (16MiB)"},
		{16, []string{"VOXELSTREAM_KAFKA_CLAIM_CHECK=s3://voxels/a?secret-key=hush"}, ""},
		{16, []string{"VOXELSTREAM_KAFKA_CLAIM_CHECK=s3://voxels/a?secret=hush"}, "claim_check: s3://voxels/a: found the option"},
		{16, []string{"VOXELSTREAM_KAFKA_CLAIM_CHECK=ftp://u:hush@host"}, "claim_check: found a URL with the scheme"},
	} {
		env := append([]string{
			fmt.Sprintf("VOXELSTREAM_VOXELIZE_GRID=%d", c.grid), "VOXELSTREAM_VOXELIZE_VALUES=raw",
		}, c.env...)
		l, err := Load("", env, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: found %v, want %q", env, err, c.want)
		}
		text := fmt.Sprint(err)
		if l != nil {
			for _, s := range l.Settings() {
				text += fmt.Sprint(s.Text, s.Value)
			}
		}
		if strings.Contains(text, "hush") {
			t.Errorf("%v: a secret is shown", env)
		}
	}
}
