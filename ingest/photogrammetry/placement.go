package photogrammetry

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// placement turns and scales a reconstruction: world = scale * turn * stored.
type placement struct {
	turn  ingest.Pose
	scale float64
	none  bool // nothing changes, bit for bit
}

// upOfCameras is the value of Options.Up that takes the direction from the images.
const upOfCameras = "cameras"

// placementOf returns the placement of the options. images are those of the reconstruction, as stored.
func placementOf(o ingest.Options, images []Image) (p placement, err error) {
	chosen := ingest.ReaderOptions(o, Options{})
	p = placement{turn: ingest.Identity(), scale: 1}
	if chosen.MetresPerUnit > 0 {
		p.scale = chosen.MetresPerUnit
	}
	up, ok := map[string][3]float64{
		"": {0, 0, 1}, "z": {0, 0, 1}, "y": {0, 1, 0}, "x": {1, 0, 0}, "-x": {-1, 0, 0}, "-y": {0, -1, 0}, "-z": {0, 0, -1},
	}[chosen.Up]
	switch {
	case chosen.Up == upOfCameras:
		if up, err = upOf(images); err != nil {
			return p, err
		}
		o.Note("the tops of the photographs point to (%.3g %.3g %.3g), which becomes z", up[0], up[1], up[2])
	case !ok:
		return p, fmt.Errorf("up: found %.16q, want x, y, z, -x, -y, -z or %s", chosen.Up, upOfCameras)
	}
	p.turn.R = turnToZ(up)
	p.none = p.scale == 1 && up == [3]float64{0, 0, 1}
	return p, nil
}

// upOf returns the mean direction of the tops of images, of length 1: the opposite of the cameras' y axes, as
// instant-ngp's colmap2nerf.py has it.
func upOf(images []Image) (up [3]float64, err error) {
	if len(images) == 0 {
		return up, errors.New("up: found no photographs, want those of the reconstruction's folder, or one of x, y, z, " +
			"-x, -y, -z")
	}
	for _, im := range images {
		for k := range up {
			up[k] -= im.Rotation[3*k+1]
		}
	}
	// The mean of directions that are spread evenly is 0; people hold cameras upright.
	const least = 0.1
	n := math.Sqrt(up[0]*up[0] + up[1]*up[1] + up[2]*up[2])
	if !(n >= least*float64(len(images))) {
		return up, errors.New("up: found photographs with their tops in all directions, want one of x, y, z, -x, -y, -z")
	}
	for k := range up {
		up[k] /= n
	}
	return up, nil
}

// turnToZ returns the shortest rotation of a direction of length 1 to z: with the axis v = up x z and the cosine
// c = up.z, the matrix I + [v] + [v]^2 / (1 + c), and a half turn about x for the opposite of z.
func turnToZ(up [3]float64) [9]float64 {
	x, y, c := up[0], up[1], up[2]
	if c < -1+1e-12 {
		return [9]float64{1, 0, 0, 0, -1, 0, 0, 0, -1}
	}
	k := 1 / (1 + c)
	return [9]float64{
		1 - k*x*x, -k * x * y, -x,
		-k * x * y, 1 - k*y*y, -y,
		x, y, c,
	}
}

// cloud places points.
func (p placement) cloud(c *ingest.PointCloud) {
	if p.none {
		return
	}
	for i := range c.X {
		x, y, z := p.turn.Apply(c.X[i], c.Y[i], c.Z[i])
		c.X[i], c.Y[i], c.Z[i] = x*p.scale, y*p.scale, z*p.scale
	}
}

// images places images.
func (p placement) images(all []Image) {
	if p.none {
		return
	}
	for i := range all {
		im := &all[i]
		x, y, z := p.turn.Apply(im.Position[0], im.Position[1], im.Position[2])
		im.Position = [3]float64{x * p.scale, y * p.scale, z * p.scale}
		im.Rotation = p.turn.Mul(&ingest.Pose{R: im.Rotation}).R
	}
}

// place places the points and images of a reconstruction.
func (m *Model) place(c *ingest.Clouds, o ingest.Options) error {
	if len(m.Images) == 0 && len(c.Clouds) == 0 { // a file of cameras only
		return nil
	}
	p, err := placementOf(o, m.Images)
	if err != nil {
		return err
	}
	for _, cloud := range c.Clouds {
		p.cloud(cloud)
	}
	p.images(m.Images)
	return nil
}

// asStored returns options with which readers place nothing.
func asStored(o ingest.Options) ingest.Options {
	chosen := ingest.ReaderOptions(o, Options{})
	chosen.Up, chosen.MetresPerUnit = "", 0
	o.Readers = append([]any{&chosen}, o.Readers...)
	return o
}

// placedSource places the points of a source.
type placedSource struct {
	ingest.Source
	p placement
}

func (s *placedSource) Read(ctx context.Context) (ingest.Sample, error) {
	sample, err := s.Source.Read(ctx)
	if c, ok := sample.Data.(*ingest.PointCloud); ok && err == nil {
		s.p.cloud(c)
	}
	return sample, err
}
