package reprocess

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/voxelstream/voxelstream/ingest"
)

// labels converts the labels of an input to classes of the model.
type labels struct {
	// classes has the class of each label, or [ingest.NoLabel]. It is nil if labels are classes already.
	classes []int32
	// note names labels that are no classes; empty if there are none.
	note string
}

// labelsOf returns the labels of an input that names them. Its numbers are positions in its own list of names, so they
// are classes of a model only by the names of those, or if the names are numbers.
func labelsOf(names, classes []string) labels {
	if len(names) == 0 {
		return labels{}
	}
	l := labels{classes: make([]int32, len(names))}
	for i, name := range names {
		l.classes[i] = ingest.NoLabel
		if class := slices.Index(classes, name); class >= 0 {
			l.classes[i] = int32(class) // a model has fewer classes
			continue
		}
		if n, err := strconv.ParseInt(name, 10, 32); err == nil && n >= 0 && len(classes) == 0 {
			l.classes[i] = int32(n)
			continue
		}
		if l.note == "" {
			l.note = fmt.Sprintf("labels that are no classes of the model are left out, such as %.100q; model labels or "+
				"--classes names its classes", name)
		}
	}
	return l
}

// class returns the class for a label.
func (l *labels) class(label int32) int32 {
	if label < 0 || int(label) >= len(l.classes) {
		return label
	}
	return l.classes[label]
}
