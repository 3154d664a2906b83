package simulate

import "fmt"

// Class is what a surface belongs to.
type Class uint8

// The classes. Road, Pavement (with its kerb), Verge and Floor are ground. Vegetation of any height is not.
const (
	None Class = iota // nothing: rain, dust or a false return
	Road
	Pavement
	Verge
	Floor
	Building
	Fence
	Wall
	Vegetation
	Car
	Truck
	Pedestrian
	Cyclist
	Pole
	Sign
	Bin
	Tree
	Table
	Chair
	Shelf
	Sofa
	Lamp
	Carton
	classes
)

// classInfo describes a class.
type classInfo struct {
	name          string
	ground, thing bool
	// kitti is the label of the class in SemanticKITTI, moving that of a moving object; see
	// https://github.com/PRBonn/semantic-kitti-api/blob/master/config/semantic-kitti.yaml. It has no furniture,
	// which gets labels from 300.
	kitti, moving uint16
}

var classInfos = [classes]classInfo{
	None:       {name: "none", kitti: 1},
	Road:       {name: "road", ground: true, kitti: 40},
	Pavement:   {name: "pavement", ground: true, kitti: 48},
	Verge:      {name: "verge", ground: true, kitti: 72},
	Floor:      {name: "floor", ground: true, kitti: 49},
	Building:   {name: "building", kitti: 50},
	Fence:      {name: "fence", kitti: 51},
	Wall:       {name: "wall", kitti: 52},
	Vegetation: {name: "vegetation", kitti: 70},
	Car:        {name: "car", thing: true, kitti: 10, moving: 252},
	Truck:      {name: "truck", thing: true, kitti: 18, moving: 258},
	Pedestrian: {name: "pedestrian", thing: true, kitti: 30, moving: 254},
	Cyclist:    {name: "cyclist", thing: true, kitti: 31, moving: 253},
	Pole:       {name: "pole", thing: true, kitti: 80},
	Sign:       {name: "sign", thing: true, kitti: 81},
	Bin:        {name: "bin", thing: true, kitti: 99},
	Tree:       {name: "tree", thing: true, kitti: 70},
	Table:      {name: "table", thing: true, kitti: 300},
	Chair:      {name: "chair", thing: true, kitti: 301},
	Shelf:      {name: "shelf", thing: true, kitti: 302},
	Sofa:       {name: "sofa", thing: true, kitti: 303},
	Lamp:       {name: "lamp", thing: true, kitti: 304},
	Carton:     {name: "carton", thing: true, kitti: 305},
}

// String returns the name of the class, such as "car".
func (c Class) String() string {
	if c >= classes {
		return fmt.Sprintf("class %d", uint8(c))
	}
	return classInfos[c].name
}

// Ground reports whether the class is ground: roads, pavements with their kerbs, verges and floors, but no vegetation.
func (c Class) Ground() bool { return c < classes && classInfos[c].ground }

// Thing reports whether the class is one of countable objects, which a detector should find. Ground, buildings, walls,
// fences, hedges and bushes are not.
func (c Class) Thing() bool { return c < classes && classInfos[c].thing }

// MarshalText returns the name of the class.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText parses the name of a class.
func (c *Class) UnmarshalText(text []byte) error {
	for i := range classInfos {
		if classInfos[i].name == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("class: found %.40q, want one such as car or pedestrian", text)
}
