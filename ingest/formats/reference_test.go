package formats

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/testenv"
)

var update = flag.Bool("update", false, "write docs/reference/formats.md")

// reference says of each format, by name, what is read of it, by whose code, and with which public file that is tested. The file
// docs/reference/formats.md is made of it.
var reference = map[string]struct{ variants, decoder, sample string }{
	"hdf5": {
		"3D MNIST archives (vectors, clouds), any numeric grids",
		"libhdf5 through gonum/hdf5, in a process of its own", "jhdf and pyfive test files",
	},
	"tango-buffer": {"TangoPointCloud and TangoXYZij, aligned or not; filter by confidence", "own", "made by the tests"},
	"tango":        {"exported PLY with its YAML beside it: camera, lens, pose", "own", "20171122163055_zenfone_ar.ply (Asus ZenFone AR)"},
	"pcd": {
		"0.5 to 0.7; ascii, binary, binary_compressed; any COUNT; rgb packed as float or integer; organised",
		"own, LZF too", "PointCloudLibrary/data",
	},
	"ply": {
		"1.0; ascii, little and big endian; lists; any order of elements; vertices only",
		"own", "nmwsharp/happly platonic_shelf, three.js dolphins",
	},
	"las": {"1.0 to 1.4; point formats 0 to 10; extra bytes; colours", "own", "PDAL, laspy and pyntcloud test files"},
	"laz": {
		"LAS by LASzip: COPC; point formats 0 to 10; items of version 1 to 4; one stream, fixed and variable chunks, layers",
		"own", "PDAL simple.laz and 1.2-with-color.copc.laz; laspy extra.laz",
	},
	"ptx": {"several scans, with their matrices; with and without colours", "own", "PDAL no-color.ptx"},
	"e57": {
		"cartesian and spherical; floats, integers, scaled integers; invalid states; several scans with poses; checksums",
		"own", "cry-inc/e57 bunnyInt21.e57",
	},
	"npy":        {"versions 1 to 3; numbers of 1 to 8 bytes, float16, records; either order", "own", "made by the tests"},
	"npz":        {"as npy, with labels; MedMNIST3D", "archive/zip and own", "adrenalmnist3d.npz"},
	"idx":        {"images and labels of all number types", "own", "MNIST t10k-images-idx3-ubyte.gz"},
	"png-depth":  {"16-bit grey; unit by option, else millimetres; rotated bits of SUN RGB-D", "image/png", "Redwood depth_00000.png"},
	"pgm-depth":  {"P5 of 16 bits, either byte order", "own", "slambook ch5 depth 1.pgm"},
	"kinect-raw": {"Kinect v1 frames of 11 bits, packed or in two bytes, without a header", "own", "made by the tests"},
	"fakenect": {
		"folders of libfreenect's record and of the raw NYU data set: disparities or millimetres, colour registered to them",
		"own", "made by the tests",
	},
	"sunrgbd": {"scene folders: rotated bits, camera, tilt as pose, colour", "image/png, image/jpeg and own", "made by the tests"},
	"tum": {
		"association files, or depth.txt and rgb.txt paired by time; colour; poses of groundtruth.txt",
		"image/png, image/jpeg and own", "a TUM style recording of an Orbbec camera",
	},
	"depth-folder": {
		"Redwood, Open3D, 7-Scenes, tsdf-fusion, slambook; cameras of Open3D, tsdf-fusion and Azure Kinect; poses of all of them",
		"image/png, image/jpeg and own", "tsdf-fusion frame-000150",
	},
	"nifti": {
		"NIfTI-1 and 2; .nii, .nii.gz, .hdr with .img; both byte orders; all real types and RGB; turned to RAS+",
		"own", "nibabel and nilearn test files",
	},
	"mgh": {"MGH and MGZ; all real types; turned to RAS+", "own", "a volume written by nibabel"},
	"dicom": {
		"implicit, explicit, big endian, deflated; 1 to 32 bits; multi-frame; rescaled; RLE, lossless and baseline JPEG; other JPEGs are refused by name",
		"own", "pydicom CT_small.dcm",
	},
	"dicom-series":        {"slices of a folder, by series, sorted by position; holes are told", "own", "MONAI CT series"},
	"off":                 {"OFF, COFF, NOFF, CNOFF, STOFF; vertices only", "own", "ModelNet chair_0001.off"},
	"obj":                 {"vertices, with colours", "own", "trimesh cube.OBJ"},
	"binvox":              {"version 1", "own", "binvox-rw-py chair.binvox"},
	"colmap":              {"points3D.bin; filters by error and track", "own", "COLMAP export of SBCV"},
	"colmap-text":         {"points3D.txt; filters by error and track", "own", "COLMAP export of SBCV"},
	"colmap-model":        {"folder of points3D, cameras and images, .bin or .txt", "own", "COLMAP export of SBCV"},
	"colmap-cameras":      {"cameras.bin, all models; inspected only", "own", "COLMAP export of SBCV"},
	"colmap-cameras-text": {"cameras.txt; inspected only", "own", "COLMAP export of SBCV"},
	"colmap-images":       {"images.bin: poses; inspected only", "own", "COLMAP export of SBCV"},
	"colmap-images-text":  {"images.txt: poses; inspected only", "own", "made by the tests"},
	"nvm":                 {"NVM_V3, points, cameras and poses of the first model", "own", "VisualSFM example"},
	"opensfm":             {"reconstruction.json: points, cameras and poses", "encoding/json", "made by the tests"},
	"pcap": {
		"pcap and pcapng, either byte order, IP fragments, VLAN; Velodyne HDL-32E, VLP-16, Puck LITE, Hi-Res, VLP-32C, VLS-128; Ouster with its JSON",
		"own", "MRPT VLP-16 with GPS; Ouster SDK OS-0-128, OS-1-32",
	},
	"velodyne-raw": {"packets of 1206 bytes one after the other", "own", "einride VLP-16 packet"},
	"rosbag1": {
		"2.0; plain, bz2, lz4; ouster_ros/PacketMsg, velodyne_msgs/VelodyneScan, sensor_msgs/PointCloud2",
		"own; compress/bzip2, pierrec/lz4", "Ouster SDK 512x10 bag",
	},
	"rosbag2": {
		"SQLite; velodyne_msgs/VelodyneScan, pandar_msgs/PandarScan (QT64 with its calibration, XT16, 40P), robosense_msgs/RobosenseScan (Helios); sensor_msgs/PointCloud2",
		"modernc.org/sqlite and own", "Nebula VLP-32C, QT64 and Helios-16P recordings with truth clouds",
	},
	"mcap": {
		"ROS 2 in CDR; plain, lz4, zstd; the messages of rosbag2", "own; pierrec/lz4, klauspost/compress", "made by the tests, and by the mcap library of Python",
	},
	"nuscenes": {".pcd.bin sweeps", "own", "nuScenes n015 LIDAR_TOP"},
	"kitti":    {".bin, .bin.gz", "own", "KITTI odometry 00 000000"},
	"pts":      {"with and without intensity and colours", "own", "PDAL autzen.pts"},
	"xyz": {
		".xyz, .txt, .csv, .asc: names, comments, a line of the count; blanks, commas, semicolons",
		"own", "three.js helix_201.xyz, CloudCompare points",
	},
}

// referencePage is the table of all formats in Markdown, in the order in which they are tried.
func referencePage() string {
	var b strings.Builder
	b.WriteString("# Formats\n\nEvery input is told from its bytes, never from its name alone; any of these files may also be packed with gzip. " +
		"Made by `go test ./ingest/formats -run Reference -update`.\n\n| format | what is read | decoder | tested with |\n|---|---|---|---|\n")
	for _, f := range All() {
		r := reference[f.Name]
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Name, r.variants, r.decoder, r.sample)
	}
	return b.String()
}

// TestReference keeps the page of formats equal to what the program reads.
func TestReference(t *testing.T) {
	listed := map[string]bool{}
	for _, f := range All() {
		if listed[f.Name] {
			t.Errorf("found two formats named %s", f.Name)
		}
		listed[f.Name] = true
		if _, ok := reference[f.Name]; !ok {
			t.Errorf("format %s: found no entry in the reference", f.Name)
		}
	}
	for name := range reference {
		if !listed[name] {
			t.Errorf("found an entry for %s, which is no format", name)
		}
	}
	page := filepath.Join(testenv.Root(), "docs", "reference", "formats.md")
	if *update {
		if err := os.WriteFile(page, []byte(referencePage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(page)
	if err != nil || string(data) != referencePage() {
		t.Errorf("docs/reference/formats.md is not what the program reads: run go test ./ingest/formats -run Reference -update (%v)", err)
	}
}
