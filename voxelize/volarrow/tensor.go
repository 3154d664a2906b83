package volarrow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// FixedShapeTensor is Arrow's canonical extension type arrow.fixed_shape_tensor, which Arrow v15 for Go lacks. Each
// value is a tensor of one shape, stored as a fixed-size list, last dimension fastest; see
// https://arrow.apache.org/docs/format/CanonicalExtensions.html. The type is not registered with Arrow. A program
// that wants Arrow's own reader to return it calls arrow.RegisterExtensionType with a zero value.
type FixedShapeTensor struct {
	arrow.ExtensionBase
	shape []int64
	names []string
}

// NewFixedShapeTensor returns the type of tensors of elem with the given shape and dimension names.
func NewFixedShapeTensor(elem arrow.DataType, shape []int64, names []string) *FixedShapeTensor {
	size := int64(1)
	for _, n := range shape {
		size *= n
	}
	storage := arrow.FixedSizeListOf(int32(size), elem)
	return &FixedShapeTensor{ExtensionBase: arrow.ExtensionBase{Storage: storage}, shape: shape, names: names}
}

// Shape returns the size of each dimension.
func (t *FixedShapeTensor) Shape() []int64 { return slices.Clone(t.shape) }

// ExtensionName returns the canonical name.
func (*FixedShapeTensor) ExtensionName() string { return "arrow.fixed_shape_tensor" }

// ArrayType returns the type of tensor arrays.
func (*FixedShapeTensor) ArrayType() reflect.Type { return reflect.TypeFor[FixedShapeTensorArray]() }

// String returns the element type and shape.
func (t *FixedShapeTensor) String() string {
	return fmt.Sprintf("fixed_shape_tensor<%s>%v", t.Storage, t.shape)
}

// ExtensionEquals compares storage, shape and names.
func (t *FixedShapeTensor) ExtensionEquals(other arrow.ExtensionType) bool {
	o, ok := other.(*FixedShapeTensor)
	return ok && arrow.TypeEqual(t.Storage, o.Storage) && slices.Equal(t.shape, o.shape) &&
		slices.Equal(t.names, o.names)
}

// tensorMetadata is the extension's serialized form.
type tensorMetadata struct {
	Shape       []int64  `json:"shape"`
	Names       []string `json:"dim_names,omitempty"`
	Permutation []int    `json:"permutation,omitempty"`
}

// Serialize returns the extension's metadata: shape and names as JSON.
func (t *FixedShapeTensor) Serialize() string {
	b, err := json.Marshal(tensorMetadata{Shape: t.shape, Names: t.names})
	if err != nil {
		panic(err) // integers and strings can always be marshalled
	}
	return string(b)
}

// Deserialize returns the type for its storage and metadata. The shape must match the storage size. Permutations are
// not supported.
func (*FixedShapeTensor) Deserialize(storage arrow.DataType, data string) (arrow.ExtensionType, error) {
	list, ok := storage.(*arrow.FixedSizeListType)
	if !ok {
		return nil, fmt.Errorf("tensor storage: found %s, want fixed_size_list", storage)
	}
	var m tensorMetadata
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return nil, fmt.Errorf("tensor metadata: %w", err)
	}
	rest := int64(list.Len()) // product of the remaining dimensions
	for _, n := range m.Shape {
		if n < 1 || rest%n != 0 {
			return nil, fmt.Errorf("tensor shape: found %v for lists of %d values, want sizes whose product "+
				"is the list size", m.Shape, list.Len())
		}
		rest /= n
	}
	if rest != 1 || len(m.Permutation) != 0 || (m.Names != nil && len(m.Names) != len(m.Shape)) {
		return nil, fmt.Errorf("tensor metadata: found %s for lists of %d values, want a shape with that product, "+
			"one name "+
			"per dimension and no permutation", data, list.Len())
	}
	return &FixedShapeTensor{ExtensionBase: arrow.ExtensionBase{Storage: storage}, shape: m.Shape, names: m.Names}, nil
}

// FixedShapeTensorArray is an array of tensors; its Storage is the fixed-size list.
type FixedShapeTensorArray struct{ array.ExtensionArrayBase }
