//go:build unix

package integration

import (
	"strings"
	"testing"
)

// packetCases are the cases of packets and recordings.
var packetCases = []sensorCase{
	{
		folder:  "11-pcap-two-velodynes",
		learned: "The packets of two sensors in one capture are told apart by their address and port.",
		args:    []string{"inspect", "--json", "two_small.pcap"},
		out: []string{
			`"packets":152,"frames":4,`, `"name":"192.168.1.201:2368","sensor":"Velodyne VLP-16","packets":76,"frames":2,`,
			`"name":"192.168.1.202:2369","sensor":"Velodyne VLP-16","packets":76,"frames":2,`,
		},
	},
	{
		folder:  "11-pcap-two-velodynes",
		learned: "One of several sensors is chosen by its port or its address.",
		args:    []string{"inspect", "--json", "two_small.pcap", "--port", "2369", "--sensor", "192.168.1.202"},
		out:     []string{`"packets":76,"frames":2,`, "192.168.1.202:2369"},
		not:     []string{"192.168.1.201"},
	},
	{
		folder:  "11-pcap-two-velodynes",
		learned: "A choice that fits nothing is answered with what there is.",
		args:    []string{"convert", "two_small.pcap", "o.parquet", "--port", "2370"},
		exit:    1,
		out:     []string{"--port 2370", "192.168.1.201:2368 (Velodyne VLP-16, 76 packets)", "192.168.1.202:2369"},
	},
	{
		folder:  "12-rosbag1-two-velodyne-topics",
		learned: "Each topic of packets is a sensor and a stream of its own.",
		args:    []string{"inspect", "--json", "b1scan2s.bag"},
		out: []string{
			`"name":"/front/velodyne_packets","sensor":"Velodyne VLP-16","packets":70,"frames":1,`,
			`"name":"/rear/velodyne_packets","sensor":"Velodyne VLP-16","packets":70,"frames":2,`,
		},
	},
	{
		folder:  "12-rosbag1-two-velodyne-topics",
		learned: "One topic is chosen by its name.",
		args:    []string{"inspect", "--json", "b1scan2s.bag", "--topic", "/rear/velodyne_packets"},
		out:     []string{`"packets":70,"frames":2,`},
		not:     []string{"/front"},
	},
	{
		folder:  "14-rosbag2-topic-cannot-be-chosen",
		learned: "All topics of clouds are read, and named.",
		args:    []string{"inspect", "r2two.db3"},
		out:     []string{"/map: PointCloud2, 1 packet, 1 frame, 3 returns", "/velodyne_points: PointCloud2"},
	},
	{
		folder:  "14-rosbag2-topic-cannot-be-chosen",
		learned: "A topic of clouds is chosen by its name.",
		args:    []string{"inspect", "r2two.db3", "--topic", "/velodyne_points"},
		out:     []string{"returns 2"},
		not:     []string{"/map"},
	},
	{
		folder:  "38-rosbag1-cut-off",
		learned: "A recording without an index that ends within a chunk is read up to its end.",
		args:    []string{"inspect", "crash.bag.active"},
		out: []string{
			"frames  22", "cut off in the chunk at byte 130200: the whole messages in the 19751 bytes that are left " +
				"of it are read",
		},
	},
	{
		folder:  "39-rosbag2-first-cloud-topic-empty",
		learned: "A topic may be declared and have no message.",
		args:    []string{"inspect", "r2e.db3", "r2me.mcap"},
		out:     []string{"frames  3", "/velodyne_points: PointCloud2, 3 packets, 3 frames, 6 returns"},
	},
	{
		folder:  "41-rosbag2-compressed",
		learned: "ROS 2 compresses messages or whole files by zstd.",
		args:    []string{"inspect", "message.db3", "file.db3.zstd"},
		out:     []string{"frames  3\n  returns 6", "file.db3.zstd\n  format  rosbag2"},
	},
	{
		folder:  "44-rosbag1-without-lidar",
		learned: "A recording without a lidar is refused with the topics and types that it has.",
		args:    []string{"inspect", "b1none.bag"},
		exit:    1,
		out:     []string{"found topics /chatter (std_msgs/String, 1 message)", "sensor_msgs/PointCloud2"},
	},
	{
		folder:  "45-pcap-hesai-robosense",
		learned: "Packets are recognized by their content, in captures as in bags.",
		args:    []string{"inspect", "xt16_small.pcap"},
		out:     []string{"sensor  Hesai PandarXT16\n  packets 240"},
	},
	{
		folder:  "46-ouster-json-names",
		learned: "Metadata of an Ouster may have another name than the recording.",
		args:    []string{"inspect", "w1s.pcap"},
		out: []string{
			"Ouster OS-0-128",
			"returns 9246",
			"sensor metadata is taken from w1_0.json, for lack of w1s.json",
		},
	},
	{
		folder:  "47-ouster-fusa-profile",
		learned: "Packets of another Ouster in the same capture are told apart by their serial number.",
		args:    []string{"inspect", "fusa.pcap"},
		out:     []string{"packets 1,", "returns 1573", "left out 169.254.238.111:7502"},
	},
	{
		folder:  "49-pcap-unusual-encapsulation",
		learned: "A capture may have been taken on any interface, and written by other programs than tcpdump.",
		args:    []string{"inspect", "--json", "vlan_sll.pcap", "raw12_small.pcap", "old_block.pcapng"},
		check: func(t *testing.T, _, out string) {
			const want = `"kind":"packets","sensor":"Velodyne VLP-16","packets":20,"frames":1,"returns":7680,"lost":0,`
			if n := strings.Count(out, want); n != 3 {
				t.Errorf("found %d files of 20 packets, want 3", n)
			}
		},
	},
	{
		folder:  "49-pcap-unusual-encapsulation",
		learned: "Packets of which only the beginning was captured are refused with the snap length.",
		args:    []string{"inspect", "snap_small.pcap"},
		exit:    1,
		out:     []string{"20 of 20 packets captured with 200 bytes of each packet"},
	},
}
