package h5

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// content is what an archive holds: groups of points, or datasets.
type content struct {
	groups []string
	tables []*table
	// classes returns the names of the classes; nil if the archive does not name them.
	classes func(ctx context.Context) []string
}

// array is a dataset as it is to be read.
type array struct {
	hdf.Object
	// shape is that of the data: Dims, or Dims reversed.
	shape    []int
	reversed bool
	// alias stands for the path in notes that are equal for many datasets.
	alias string
	// why is the reason why it is not data, such as a cell array; empty if it may be.
	why string
}

// errNotFound means that an archive has no dataset that is known to hold data.
var errNotFound = errors.New("no data found")

// content looks for data: by name, then among the members of the root, then in groups.
func (a *input) content(ctx context.Context) (content, error) {
	o := arrays.Of(a.options.Options)
	members, err := a.file.Children(ctx, "/")
	if err != nil {
		return content{}, err
	}
	if o.Data == "" {
		if groups := cloudGroups(members); len(groups) > 0 && !slices.ContainsFunc(members, isSamples) {
			if _, err := a.file.Object(ctx, groups[0]+"/points"); err == nil || !errors.Is(err, hdf.ErrNotFound) {
				if err == nil && a.options.Split != All {
					err = fmt.Errorf("found point clouds in groups, which have no part %s: %w", a.options.Split, ingest.ErrNoPart)
				}
				return content{groups: groups}, err
			}
		}
	}
	if o.Data != "" || o.Labels != "" {
		return a.inGroups(ctx, members, o)
	}
	list, err := a.arrays(ctx, members)
	if err != nil {
		return content{}, err
	}
	if !slices.ContainsFunc(list, func(d array) bool {
		role, _ := arrays.RoleOf(d.Path)
		return role == arrays.Data && d.usable()
	}) {
		return a.inGroups(ctx, members, o)
	}
	return a.choose(ctx, list, o)
}

func isSamples(m hdf.Object) bool {
	role, _ := arrays.RoleOf(m.Path)
	return m.Kind == hdf.Dataset && role == arrays.Data
}

// inGroups looks at the datasets in groups too, and at those of the root that are links.
func (a *input) inGroups(ctx context.Context, members []hdf.Object, o arrays.Options) (content, error) {
	objects, err := a.file.Objects(ctx)
	if err != nil {
		return content{}, err
	}
	listed := make(map[string]bool, len(objects))
	for _, o := range objects {
		listed[o.Path] = true
	}
	for _, m := range members {
		if !listed[m.Path] {
			objects = append(objects, m)
		}
	}
	list, err := a.arrays(ctx, objects)
	if err != nil {
		return content{}, err
	}
	return a.choose(ctx, list, o)
}

// choose makes tables of the datasets that hold data, and notes the choice.
func (a *input) choose(ctx context.Context, list []array, o arrays.Options) (content, error) {
	paths := make([]string, len(list))
	for i, d := range list {
		paths[i] = d.Path
	}
	split := a.options.Split
	usable := func(i int) bool {
		return list[i].usable() && (split == All || arrays.InPart(paths[i], string(split)))
	}
	choice, err := arrays.Choose(paths, usable,
		func(i int) string { return list[i].TypeName() + " " + arrays.Tuple(list[i].shape) }, o)
	if err != nil {
		return content{}, err
	}
	switch {
	case len(choice.Pairs) == 0 && split != All:
		return content{}, fmt.Errorf("dataset X_%s not found: %w", split, ingest.ErrNoPart)
	case len(choice.Pairs) == 0:
		return content{}, noData(list)
	}
	slices.SortStableFunc(choice.Pairs, func(x, y arrays.Pair) int {
		return cmp.Compare(order(paths[x.Data]), order(paths[y.Data]))
	})
	var c content
	var labelled *array
	names := sync.OnceValues(func() ([]string, error) { return a.classNames(ctx, list) })
	for _, p := range choice.Pairs {
		var labels *labelReader
		if p.Labels >= 0 {
			labelled = &list[p.Labels]
			labels = &labelReader{a, labelled, names, o.Labels != ""}
		}
		t, err := a.table(ctx, list[p.Data], o.Data != "", labels)
		if err != nil {
			return content{}, err
		}
		c.tables = append(c.tables, t)
	}
	if split != All { // the other parts are left out on purpose
		choice.Left = slices.DeleteFunc(choice.Left, func(i int) bool {
			return order(paths[i]) >= 0 && !arrays.InPart(paths[i], string(split))
		})
	}
	if labelled != nil {
		c.classes = func(ctx context.Context) []string {
			if labelled.Class == hdf.String {
				texts, _ := names() // an error is one of the labels
				return texts
			}
			return a.classList(ctx, list, labelled.Path)
		}
	}
	why := func(i int) string {
		if list[i].why != "" {
			return list[i].why
		}
		return list[i].Refused
	}
	if text := choice.Note(paths, why); text != "" {
		a.options.Note("%s", text)
	}
	return c, nil
}

// order puts train before test, and what belongs to neither before both.
func order(path string) int {
	return slices.IndexFunc([]Split{Train, Val, Test}, func(s Split) bool { return arrays.InPart(path, string(s)) })
}

// noData is the error of an archive in which nothing is data. It lists what there is, with the reasons.
func noData(list []array) error {
	var names []string
	for _, d := range list {
		switch {
		case d.why != "":
			names = append(names, d.Path+": "+d.why)
		case d.Refused != "":
			names = append(names, d.Path+": "+d.Refused)
		default:
			names = append(names, fmt.Sprintf("%s %s %s", d.Path, d.TypeName(), arrays.Tuple(d.shape)))
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: the file holds no dataset", errNotFound)
	}
	return fmt.Errorf("%w: found neither X_train or X_test, nor groups with points, nor another array of numbers; name a "+
		"dataset with --data (members: %s)", errNotFound, arrays.List(names))
}

// usable reports whether a dataset may hold data. One that is refused may: the error then says why.
func (d *array) usable() bool {
	switch {
	case d.why != "":
		return false
	case d.Refused != "":
		role, _ := arrays.RoleOf(d.Path)
		return role == arrays.Data
	case d.Class == hdf.Compound:
		return len(d.shape) == 1 || len(d.shape) == 2
	}
	return d.numeric() && len(d.shape) >= 2
}

func (d *array) numeric() bool {
	switch d.Class {
	case hdf.Int, hdf.Uint, hdf.Float, hdf.Enum:
		return true
	}
	return false
}

// within reports whether an object is in one of some groups, or in a group in one.
func within(object string, groups map[string]bool) bool {
	for len(groups) > 0 && object != "/" && object != "." {
		if object = path.Dir(object); groups[object] {
			return true
		}
	}
	return false
}

// arrays describes the datasets among some objects, and those members of the root that are links to nowhere.
func (a *input) arrays(ctx context.Context, objects []hdf.Object) ([]array, error) {
	var out []array
	closed := map[string]bool{} // groups whose members are parts of one value
	for _, o := range objects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switch {
		case strings.HasPrefix(o.Path, "/#"), within(o.Path, closed):
			continue // MATLAB keeps the elements of cells in /#refs#
		case o.Kind == hdf.Group && o.Attrs > 0:
			if _, err := a.file.Attr(ctx, o.Path, "MATLAB_sparse"); err == nil {
				closed[o.Path] = true
				out = append(out, array{Object: o, why: "a sparse matrix; save full(...) of it"})
			}
			continue
		case o.Kind == hdf.Group:
			continue
		case o.Kind == hdf.Other && o.Refused == "":
			continue
		}
		if o.Kind == hdf.Dataset && o.Class == "" && o.Refused == "" {
			full, err := a.file.Object(ctx, o.Path)
			if err != nil {
				return nil, err
			}
			o = full
		}
		d, err := a.array(ctx, o)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// array finds out the order of a dataset's axes, and what MATLAB says about its values.
func (a *input) array(ctx context.Context, o hdf.Object) (array, error) {
	d := array{Object: o, reversed: a.columns}
	if o.Class == hdf.Compound && columns.Missing(fieldNames(o.Fields)) != nil {
		d.why = "records without x, y and z"
		if names := fieldNames(o.Fields); len(names) == 2 && (names[0] == "r" || names[0] == "real") {
			d.why = "complex numbers"
		}
	}
	if o.Attrs > 0 && o.Kind == hdf.Dataset {
		attrs, err := a.file.Attrs(ctx, o.Path)
		if err != nil {
			return d, err
		}
		for _, at := range attrs {
			switch at.Name {
			case "MATLAB_class":
				d.reversed = true
				switch class, _ := at.Text(); class {
				case "cell":
					d.why = "a cell array; save its content as plain arrays"
				case "char":
					d.why = "text"
				case "struct":
					d.why = "an array of structures"
				case "function_handle":
					d.why = "a function"
				}
			case "MATLAB_empty":
				d.why = "empty"
			case "rhdf5-NA.OK":
				d.reversed = true // of R, whose arrays have their first axis fastest
			}
		}
	}
	if parent := o.Path[:strings.LastIndexByte(o.Path, '/')]; parent != "" && strings.HasSuffix(o.Path, "/value") {
		if _, err := a.file.Attr(ctx, parent, "OCTAVE_NEW_FORMAT"); err == nil {
			d.reversed = true
		}
	}
	d.shape = slices.Clone(o.Dims)
	if d.reversed = d.reversed && len(d.shape) > 1; d.reversed {
		slices.Reverse(d.shape)
	}
	return d, nil
}

func fieldNames(fields []hdf.Field) []string {
	var out []string
	for _, f := range fields {
		if f.Count == 1 {
			out = append(out, f.Name)
		}
	}
	return out
}

// labelReader reads the labels of a dataset's rows from another dataset. A nil one reads none.
type labelReader struct {
	input   *input
	dataset *array
	// names are those of the classes, in the order of all labels of the archive, so that its parts agree.
	names func() ([]string, error)
	// explicit says that the user chose the labels, so that others than expected are an error.
	explicit bool
}

// read returns the labels, one for each row or, of an array that may be a single row, one. It returns nil if the
// dataset has not the shape of labels.
func (l *labelReader) read(ctx context.Context, rows int) (*arrays.Labels, error) {
	if l == nil {
		return nil, nil
	}
	d := l.dataset
	switch {
	case d.why != "" && !l.explicit:
		l.input.options.Note("the labels %s are not read: found %s", d.name(), d.why)
		return nil, nil
	case d.why != "":
		return nil, fmt.Errorf("%s: found %s, want class numbers or names", d.Path, d.why)
	case d.Refused != "" && !l.explicit && l.input.file.CutOff():
		l.input.options.Note("the labels %s are not read: %s", d.name(), d.Refused)
		return nil, nil
	case d.Refused != "":
		return nil, fmt.Errorf("%s: %w: %s", d.Path, hdf.ErrRefused, d.Refused)
	}
	width, err := arrays.LabelShape(d.shape, rows)
	if err != nil {
		if one, oneErr := arrays.LabelShape(d.shape, 1); oneErr == nil && one == 1 {
			rows, width, err = 1, 1, nil
		}
	}
	var out *arrays.Labels
	if err == nil {
		out, err = l.values(ctx, rows, width)
	}
	switch {
	case err == nil:
		return out, nil
	case !l.explicit && errors.Is(err, arrays.ErrShape) && !errors.Is(err, arrays.ErrCount),
		!l.explicit && l.input.file.CutOff() && !fatal(ctx, err):
		l.input.options.Note("the labels %s are not read: %v", d.name(), err)
		return nil, nil
	}
	return nil, fmt.Errorf("%s: %w", d.Path, err)
}

func (l *labelReader) values(ctx context.Context, rows, width int) (*arrays.Labels, error) {
	a, d := l.input, l.dataset
	if err := a.options.Take(rows, arrays.LabelBytes); err != nil {
		return nil, err
	}
	switch {
	case d.Class == hdf.String && width == 1:
		names, err := l.names()
		if err != nil {
			return nil, err
		}
		texts, err := a.texts(ctx, d)
		if err != nil {
			return nil, err
		}
		return arrays.Texts(texts, names)
	case !d.numeric():
		return nil, fmt.Errorf("found values of class %s, want class numbers or names", d.Class)
	case width == 1:
		return arrays.Numbers(rows, 1, func(first, n int, dst []float64) error { return a.flat(ctx, d, first, n, dst) })
	}
	return arrays.Numbers(rows, width, func(first, n int, dst []float64) error {
		return readAxis(ctx, a.file, d, first, n, dst)
	})
}

// classNames returns the names of classes in the texts of all labels of the archive.
func (a *input) classNames(ctx context.Context, list []array) ([]string, error) {
	var order []string
	var all [][]string
	for i := range list {
		role, _ := arrays.RoleOf(list[i].Path)
		if list[i].Class != hdf.String || list[i].Refused != "" || role != arrays.Label && role != arrays.Meta {
			continue
		}
		texts, err := a.texts(ctx, &list[i])
		switch {
		case err != nil:
			return nil, err
		case role == arrays.Label:
			all = append(all, texts)
		default:
			order = texts
		}
	}
	return arrays.ClassNames(order, all...), nil
}

// classList returns the list of the names of classes in a dataset of its own, in an attribute of the root, or in one of
// the labels. It is nil if there is none, or if the names are not distinct.
func (a *input) classList(ctx context.Context, list []array, labels string) []string {
	var names []string
	for i := range list {
		if d := &list[i]; names == nil && d.Class == hdf.String && d.Refused == "" && arrays.IsClassList(d.Path) {
			names, _ = a.texts(ctx, d) // what cannot be read names nothing
		}
	}
	for _, path := range []string{"/", labels} {
		attrs, err := a.file.Attrs(ctx, path)
		if err != nil {
			continue
		}
		for _, at := range attrs {
			if names == nil && arrays.IsClassList(at.Name) {
				names = at.Strings
			}
		}
	}
	return arrays.Distinct(names)
}

// textBytes is the size of a text without its characters.
const textBytes = int(unsafe.Sizeof(""))

// texts reads all texts of a dataset.
func (a *input) texts(ctx context.Context, d *array) ([]string, error) {
	var out []string
	const block = 1 << 14
	if d.Rows()*d.RowLen() > arrays.MaxLabels {
		return nil, fmt.Errorf("found more than %d texts", arrays.MaxLabels)
	}
	for row := 0; row < d.Rows(); row += block {
		more, err := a.file.ReadStrings(ctx, d.Path, row, min(block, d.Rows()-row))
		if err != nil {
			return nil, err
		}
		size := 2 * textBytes * len(more) // in a slice that grows
		for _, text := range more {
			size += len(text)
		}
		if err := a.options.Take(size, 1); err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// flat reads elements of an array with one axis longer than 1, whichever it is.
func (a *input) flat(ctx context.Context, d *array, first, n int, dst []float64) error {
	if d.Rows() > 1 || d.RowLen() == 1 {
		return a.file.ReadFloat64(ctx, d.Path, first, n, dst)
	}
	part := a.options.Options
	part.Account = part.Account.Part()
	defer part.Account.Close()
	whole, err := ingest.Make[float64](part, d.RowLen())
	if err != nil {
		return err
	}
	err = a.file.ReadFloat64(ctx, d.Path, 0, 1, whole)
	copy(dst, whole[min(first, len(whole)):])
	return err
}
