// Package mnist3d generates the "3D MNIST" dataset: handwritten digits as point clouds and voxel grids, in the
// layouts of the archives that the tutorial trains on.
//
// A digit comes from an IDX file of MNIST ([ReadIDX]) or is drawn ([Draw]); [Upright] extrudes it into a cloud
// exactly as the archive's authors did, [Cloud.Augment] returns a rotated, noisy copy, and [Generate] does this for
// many digits with several workers.
package mnist3d
