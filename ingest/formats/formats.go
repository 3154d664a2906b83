// Package formats lists every readable format, and opens any input according to its content.
package formats

import (
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/ingest/depth"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/ingest/lidar"
	"github.com/voxelstream/voxelstream/ingest/medical"
	"github.com/voxelstream/voxelstream/ingest/mesh"
	"github.com/voxelstream/voxelstream/ingest/packets"
	"github.com/voxelstream/voxelstream/ingest/photogrammetry"
	"github.com/voxelstream/voxelstream/internal/option"
)

// All returns every format. If two are equally confident about an input, the first is used.
func All() []ingest.Format {
	return []ingest.Format{
		depth.Tango, // before PLY, of which it is a variant
		h5.HDF5,
		h5.MAT5,
		lidar.PCD,
		lidar.PLY,
		lidar.LAS,
		lidar.LAZ,
		lidar.PTX,
		lidar.E57,
		array.NPY,
		array.NPZ,
		array.IDX,
		array.IDXLabels,
		depth.PNG,
		depth.PGM,
		depth.TangoBuffer,
		depth.Kinect,
		depth.Fakenect,
		depth.SUN, // before the formats whose folders look alike
		depth.TUM,
		depth.Frames, // after TUM, whose folders look alike
		medical.NIfTI,
		medical.MGH,
		medical.DICOMDir, // before DICOM, of which it is a variant
		medical.DICOM,
		medical.DICOMSeries,
		mesh.OFF,
		mesh.OBJ,
		mesh.Binvox,
		photogrammetry.COLMAPModel,
		photogrammetry.COLMAP,
		photogrammetry.COLMAPText,
		photogrammetry.COLMAPCameras,
		photogrammetry.COLMAPCamerasText,
		photogrammetry.COLMAPImages,
		photogrammetry.COLMAPImagesText,
		photogrammetry.NVM,
		photogrammetry.OpenSfM,
		packets.PCAP,
		packets.VelodyneRaw,
		packets.ROSBag1,
		packets.ROSBag2,
		packets.MCAP,
		lidar.KITTISequence,
		lidar.KITTIPoses, // before XYZ, for which its rows would be points
		lidar.NuScenes,   // before KITTI, for which its floats would be plausible too
		lidar.KITTI,
		lidar.PTS,
		lidar.XYZ, // last of the text formats, because it accepts any table of numbers
	}
}

// NewOptions returns the default limits and the default options of all formats. Each call returns new options.
func NewOptions() ingest.Options {
	all := All()
	makers := make([]func() any, len(all))
	for i, f := range all {
		makers[i] = f.Options
	}
	o := ingest.Options{Readers: append(option.Distinct(makers), &Selection{Format: auto})}
	return o.WithDefaults()
}
