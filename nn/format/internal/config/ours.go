package config

import (
	"slices"
	"strings"
)

// ours lists the layers that Keras does not have. The module of python/voxelstream_layers.py registers each with
// Keras as prefix and class.
var ours = []string{"CubeRotation", "PrincipalPlane"}

const (
	module = "voxelstream_layers"
	prefix = "voxelstream>"
)

// registered returns the name under which a class of ours is registered with Keras.
func registered(class string) (name string, ok bool) {
	return prefix + class, slices.Contains(ours, class)
}

// unregister takes the prefix from the class of a layer of ours, which .h5 files have there, and removes its registered
// name.
func (o *object) unregister() {
	class := strings.TrimPrefix(o.ClassName, prefix)
	name, ok := registered(class)
	if !ok {
		return
	}
	o.ClassName = class
	if o.RegisteredName != nil && *o.RegisteredName == name {
		o.RegisteredName = nil
	}
}
