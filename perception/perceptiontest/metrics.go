// Package perceptiontest measures how well ground, objects, tracks and speeds are found, on scans whose truth is known:
// those of ingest/simulate.
package perceptiontest

import (
	"cmp"
	"slices"

	"github.com/voxelstream/voxelstream/ingest/simulate"
)

// Confusion counts decisions between two classes, such as ground and not.
type Confusion struct{ TruePositive, FalsePositive, FalseNegative, TrueNegative int }

// Compare counts decisions, one a point, against the truth.
func Compare(found, truth []bool) (c Confusion) {
	for i, t := range truth {
		switch {
		case found[i] && t:
			c.TruePositive++
		case found[i]:
			c.FalsePositive++
		case t:
			c.FalseNegative++
		default:
			c.TrueNegative++
		}
	}
	return c
}

// Ground compares the points that were found to be ground with the truth: roads, pavements with their kerbs, verges and
// floors. Vegetation of any height is not ground.
func Ground(found []bool, truth *simulate.Truth) Confusion { return Compare(found, truth.Ground()) }

// Add adds the counts of d.
func (c *Confusion) Add(d Confusion) {
	c.TruePositive += d.TruePositive
	c.FalsePositive += d.FalsePositive
	c.FalseNegative += d.FalseNegative
	c.TrueNegative += d.TrueNegative
}

// IoU is the intersection over the union of what was found and what is true.
func (c Confusion) IoU() float64 {
	return ratio(c.TruePositive, c.TruePositive+c.FalsePositive+c.FalseNegative)
}

// Precision is the share of what was found that is true.
func (c Confusion) Precision() float64 { return ratio(c.TruePositive, c.TruePositive+c.FalsePositive) }

// Recall is the share of what is true that was found.
func (c Confusion) Recall() float64 { return ratio(c.TruePositive, c.TruePositive+c.FalseNegative) }

// ratio returns a/b, and 1 if both are 0: nothing was to be found, and nothing was.
func ratio(a, b int) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

const (
	// LeastPoints is the number of returns from which an object counts.
	LeastPoints = 20
	// LeastIoU is the intersection over union from which something that was found is an object.
	LeastIoU = 0.5
)

// Pair is an object and what it was found as.
type Pair struct {
	Object simulate.Object
	// Cluster is the number of the cluster, from 1.
	Cluster int
	IoU     float64
}

// Match is what was found in a scan.
type Match struct {
	Pairs []Pair
	// Missed are the objects that count but were not found.
	Missed []simulate.Object
	// False are the numbers of the clusters that are no object. Clusters of which most points are of a building, wall,
	// fence, bush or hedge, or of an object with too few points, do not count.
	False []int
}

// Counts returns the match as counts. Its true negatives are 0.
func (m *Match) Counts() Confusion {
	return Confusion{TruePositive: len(m.Pairs), FalsePositive: len(m.False), FalseNegative: len(m.Missed)}
}

// Segments compares clusters with objects by their points: the IoU of a cluster and an object is the number of points
// that are in both over the number of those that are in one of them. cluster is the number of the cluster of each
// point, from 1; 0 for none. An object of at least leastPoints points is found if there is a cluster with an IoU above
// LeastIoU; there can be no second one.
func Segments(cluster []int32, truth *simulate.Truth, leastPoints int) *Match {
	type key struct{ cluster, object int32 }
	both, sizes := map[key]int{}, map[int32]int{}
	other := map[int32]int{} // the points of a cluster that do not count
	counts := map[int32]bool{}
	for _, o := range truth.Objects {
		counts[int32(o.ID)] = o.Points >= leastPoints
	}
	for i, c := range cluster {
		if c == 0 {
			continue
		}
		sizes[c]++
		o := truth.Object[i]
		both[key{c, o}]++
		if o != 0 && !counts[o] {
			other[c]++
		}
	}
	best := map[int32]Pair{} // by object
	used := map[int32]bool{}
	byID := map[int32]*simulate.Object{}
	for i := range truth.Objects {
		byID[int32(truth.Objects[i].ID)] = &truth.Objects[i]
	}
	for k, n := range both {
		if !counts[k.object] {
			continue
		}
		o := byID[k.object]
		if iou := ratio(n, o.Points+sizes[k.cluster]-n); iou > LeastIoU {
			best[k.object] = Pair{*o, int(k.cluster), iou}
			used[k.cluster] = true
		}
	}
	m := &Match{}
	for _, o := range truth.Objects {
		if !counts[int32(o.ID)] {
			continue
		}
		if p, ok := best[int32(o.ID)]; ok {
			m.Pairs = append(m.Pairs, p)
		} else {
			m.Missed = append(m.Missed, o)
		}
	}
	for c, n := range sizes {
		if !used[c] && 2*other[c] <= n {
			m.False = append(m.False, int(c))
		}
	}
	slices.Sort(m.False)
	return m
}

// Boxes compares boxes with the whole boxes of objects, as seen from above, as the KITTI benchmark does. ious[i][k] is
// the IoU of cluster i+1 and truth.Objects[k] (see [IoU]). Pairs are chosen by their IoU, the largest first. ignored
// says of each cluster whether it does not count if it is no object; [Match.False] of [Segments] has those that do.
func Boxes(ious [][]float64, truth *simulate.Truth, leastPoints int, ignored []bool) *Match {
	var pairs []Pair
	for i, row := range ious {
		for k, iou := range row {
			if o := truth.Objects[k]; iou > LeastIoU && o.Points >= leastPoints {
				pairs = append(pairs, Pair{o, i + 1, iou})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b Pair) int { return cmp.Compare(b.IoU, a.IoU) })
	m := &Match{}
	objects, clusters := map[int]bool{}, map[int]bool{}
	for _, p := range pairs {
		if !objects[p.Object.ID] && !clusters[p.Cluster] {
			objects[p.Object.ID], clusters[p.Cluster] = true, true
			m.Pairs = append(m.Pairs, p)
		}
	}
	for _, o := range truth.Objects {
		if o.Points >= leastPoints && !objects[o.ID] {
			m.Missed = append(m.Missed, o)
		}
	}
	for i := range ious {
		if !clusters[i+1] && !ignored[i] {
			m.False = append(m.False, i+1)
		}
	}
	return m
}
