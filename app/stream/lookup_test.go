package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// TestTopicWarnings: each problem of a topic gives its warning, and no other.
func TestTopicWarnings(t *testing.T) {
	a := apptest.New(t)
	now := time.Now()
	good := func() kafka.TopicState {
		return kafka.TopicState{
			Name: "volumes", Config: map[string]string{
				"cleanup.policy": "delete", "min.insync.replicas": "2", "max.message.bytes": "20971520",
			},
			Partitions: []kafka.PartitionState{
				{Partition: 0, Leader: "a:1", Replicas: 3, InSync: 3, End: 4, Newest: now},
				{Partition: 1, Leader: "b:1", Replicas: 3, InSync: 3},
			},
		}
	}
	for want, change := range map[string]func(*kafka.TopicState){
		"":                           func(*kafka.TopicState) {},
		"compaction deletes":         func(s *kafka.TopicState) { s.Config["cleanup.policy"] = "compact,delete" },
		"under-replicated":           func(s *kafka.TopicState) { s.Partitions[1].InSync = 2 },
		"writes fail":                func(s *kafka.TopicState) { s.Partitions[1].InSync = 1 },
		"no broker leads":            func(s *kafka.TopicState) { s.Partitions[0].Leader = "" },
		"one lost broker stops":      func(s *kafka.TopicState) { s.Config["min.insync.replicas"] = "3" },
		"max.message.bytes is 1000:": func(s *kafka.TopicState) { s.Config["max.message.bytes"] = "1000" },
		"in the future":              func(s *kafka.TopicState) { s.Partitions[0].Newest = now.Add(time.Minute) },
		"settings of the topic":      func(s *kafka.TopicState) { s.Config = nil },
		"if a broker is lost": func(s *kafka.TopicState) {
			for i := range s.Partitions {
				s.Partitions[i].Replicas, s.Partitions[i].InSync = 1, 1
			}
			s.Config["min.insync.replicas"] = "1"
		},
	} {
		s := good()
		change(&s)
		got := topicReport(a, &s, 3, now).Warnings
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}

// TestGroupReport: how far a group is behind, and what is wrong with its positions.
func TestGroupReport(t *testing.T) {
	now := time.Now()
	r := groupReport(&kafka.GroupState{Name: "g", State: "Stable", Members: 1, Partitions: []kafka.GroupPartition{
		{Topic: "t", Partition: 0, Member: "m", Committed: 2, End: 5, Next: now.Add(-time.Minute)},
		{Topic: "t", Partition: 1, Member: "m", Committed: 9, End: 5},
		{Topic: "t", Partition: 2, Committed: 0, First: 2, End: 3, Next: now.Add(time.Minute)},
		{Topic: "t", Partition: 3, Committed: -1, First: -1, End: -1},
	}}, now)
	if r.Lag != 4 || r.BehindSeconds == nil || *r.BehindSeconds != 60 {
		t.Errorf("found %+v", r)
	}
	var warnings []string
	for _, p := range r.Partitions {
		warnings = append(warnings, p.Warning)
	}
	for i, want := range []string{"", "topic was created again", "2 messages deleted by retention", "does not exist"} {
		if !strings.Contains(warnings[i], want) || (want == "") != (warnings[i] == "") {
			t.Errorf("partition %d: found %q, want %q", i, warnings[i], want)
		}
	}
	if !slices.Equal(r.Warnings, []string{
		"no member owns 1 partition with a lag",
		"messages were sent 1m0s in the future: the clock of a producer or of this machine is wrong",
	}) {
		t.Errorf("found %q", r.Warnings)
	}
	idle := groupReport(&kafka.GroupState{Name: "g", State: "Empty", Partitions: []kafka.GroupPartition{
		{Topic: "t", Committed: 2, End: 5, Next: now},
	}}, now)
	if fmt.Sprint(idle.Warnings) != "[no member reads 3 waiting messages]" {
		t.Errorf("found %q", idle.Warnings)
	}
}
