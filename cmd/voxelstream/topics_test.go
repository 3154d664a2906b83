package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app/stream"
)

// TestTopicsText: the table, with all columns and on narrow terminals, where no line is longer than the terminal.
func TestTopicsText(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &stream.TopicsReport{Time: now, Brokers: 1, Topics: []stream.TopicReport{
		{
			Topic: "volumes", Partitions: 4, Replication: 3, Messages: 12345, Bytes: new(int64(3 << 20)),
			Oldest: new(now.Add(-26 * time.Hour)), Newest: new(now.Add(-1500 * time.Millisecond)), CleanupPolicy: "delete",
			RetentionMS: new(int64(86400_000)), RetentionBytes: new(int64(-1)), Warnings: []string{"under-replicated"},
			List: []stream.PartitionReport{{Partition: 2, First: 5, End: 9, Replicas: 3, InSync: 2}},
		},
		{Topic: "classifications", Missing: true, Warnings: []string{"does not exist"}},
	}}
	text := func(width int, parts bool) string {
		var b bytes.Buffer
		topicsText(&b, r, width, parts)
		return b.String()
	}
	const want = `TOPIC            PARTITIONS  REPLICAS  MESSAGES     SIZE  OLDEST  NEWEST  CLEANUP  RETENTION
volumes                   4         3     12345  3.0 MiB    1d2h    1.5s  delete   1d0h
classifications           -         -         -        -       -       -  -        -
warning: volumes: under-replicated
warning: classifications: does not exist
`
	if got := text(0, false); got != want {
		t.Errorf("found\n%s", got)
	}
	if got := text(0, true); !strings.Contains(got, "volumes          2      5    9      2/3     ?       -       -  none\n") {
		t.Errorf("found\n%s", got)
	}
	for width := 20; width < 120; width++ {
		for line := range strings.Lines(text(width, true)) {
			if n := len([]rune(strings.TrimSpace(line))); n > width && !strings.HasPrefix(line, "warning") {
				t.Errorf("width %d: found %q", width, line)
			}
		}
	}
	if got := text(60, false); !strings.HasPrefix(got, "TOPIC            PARTITIONS  REPLICAS  MESSAGES     SIZE\n") {
		t.Errorf("60 columns: found\n%s", got)
	}
}

func TestLagText(t *testing.T) {
	var b bytes.Buffer
	lagText(&b, &stream.LagReport{Groups: []stream.GroupReport{{
		Group: "g", State: "Stable", Members: 1, Lag: 7, BehindSeconds: new(61.0), Warnings: []string{"odd"},
		Partitions: []stream.LagOfPart{
			{
				Topic: "volumes", Partition: 0, Owner: "worker-1-01234567-89ab-cdef-0123-456789abcdef", Host: "10.0.0.7",
				Committed: 3, End: 10, Lag: 7, BehindSeconds: new(61.0),
			},
			{Topic: "volumes", Partition: 1, Committed: -1, End: -1, Warning: "gone"},
		},
	}, {Group: "nosuch", Missing: true}}}, 0)
	const want = `group g: stable, 1 member, lag 7, behind 1m01s
TOPIC    PARTITION  LAG  BEHIND  COMMITTED  END  OWNER
volumes          0    7   1m01s          3   10  worker-1-0123 10.0.0.7
volumes          1    0       ?       none    ?  none
warning: volumes/1: gone
warning: group g: odd

group nosuch: does not exist (no members, nothing committed)
`
	if got := b.String(); got != want {
		t.Errorf("found\n%s", got)
	}
}

// TestTopicsUsage: exit codes of wrong usage, and of a lag that exceeds a limit.
func TestTopicsUsage(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"topics", "--all", "volumes"},
		{"topics", "--every", "1s"},
		{"topics", "--watch", "--every", "1ms"},
		{"lag", "--max-lag", "-1"},
		{"topics", "--broker-data-dir", dir}, // nothing is there
		{"dlq", "list", "--broker-data-dir", dir},
		{"dlq", "show", "0:1", "--broker-data-dir", dir},
		{"dlq", "replay", "--broker-data-dir", dir},
		{"dlq", "list", "--since", "yesterday"},
		{"dlq", "replay", "--reason", "/(/"},
		{"dlq", "replay", "--rate", "-1"},
	} {
		if out, code := run(args...); code != exitUsage {
			t.Errorf("%q: found exit code %d and %s", args, code, out)
		}
	}
}
