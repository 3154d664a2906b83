// Package draw draws samples, objects and training curves for people: volumes as shaded cubes, clouds with a cue of
// depth, meshes as surfaces, depth frames with a colour bar, medical images as slices, contact sheets, and turns of a
// volume, cloud or mesh. Pictures have their own background, twice the pixels of their size for fine screens, and, where
// they apply, a title, names of panels, axes with units, a scale bar and a colour bar. The same input gives the same
// bytes, whatever the number of threads.
//
// Memory is bounded by the size of the pictures, which does not depend on the input, and by that of the sample.
package draw
