package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/option"
)

// groupAnnotation marks a flag with the heading under which help lists it.
const groupAnnotation = "voxelstream_group"

// Headings of flags that set no configuration key. Those of the others are in the configuration.
const (
	groupInput        = "Input"
	groupOutput       = "Output"
	groupKafka        = "Kafka"
	groupGlobal       = "Global"
	groupVoxelization = "Voxelization"
)

// flagsIn declares flags of a command below a heading of its help.
func flagsIn(cmd *cobra.Command, heading string, declare func(f *pflag.FlagSet)) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	declare(f)
	f.VisitAll(func(f *pflag.Flag) { inGroup(f, heading) })
	cmd.Flags().AddFlagSet(f)
}

// inGroup puts a flag below a heading.
func inGroup(f *pflag.Flag, heading string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[groupAnnotation] = []string{heading}
}

// choice is the value of a flag that has one of several values.
type choice struct {
	value   *string
	choices []string
}

// choiceVar declares a flag with one of several values. Completion offers them, and a misspelt one gets a suggestion.
func choiceVar(f *pflag.FlagSet, value *string, name, preset, doc string, choices []string) {
	*value = preset
	f.Var(&choice{value, choices}, name, doc)
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "string" }
func (c *choice) Set(text string) error {
	if text != "" && !slices.Contains(c.choices, text) {
		return fmt.Errorf("found %q%s, want one of %s", text, option.DidYouMean(text, c.choices),
			strings.Join(c.choices, ", "))
	}
	*c.value = text
	return nil
}

// output is the value of a flag that names a file to write, in a format that the extension selects.
type output struct {
	path       *string
	list       *[]string // in place of path, for a flag that may be repeated
	extensions []string  // the first one is the format of standard output
	// unfit says why the file cannot be standard output; empty if it can.
	unfit string
}

// outputVar declares a flag that names a file to write. The first extension is the format of standard output.
func outputVar(f *pflag.FlagSet, path *string, name, doc string, extensions ...string) {
	f.VarP(&output{path: path, extensions: extensions}, name, shorthands[name], doc)
}

// outputsVar is like outputVar, for a flag that may be repeated.
func outputsVar(f *pflag.FlagSet, paths *[]string, name, doc string, extensions ...string) {
	f.VarP(&output{list: paths, extensions: extensions}, name, shorthands[name], doc)
}

// seekableVar is like outputVar, for a file that cannot be standard output. The reason becomes part of the error.
func seekableVar(f *pflag.FlagSet, path *string, name, doc, reason string, extensions ...string) {
	f.VarP(&output{path: path, extensions: extensions, unfit: reason}, name, shorthands[name], doc)
}

// paths returns the places of the files that the flag names.
func (o *output) paths() []*string {
	if o.list == nil {
		return []*string{o.path}
	}
	var out []*string
	for i := range *o.list {
		out = append(out, &(*o.list)[i])
	}
	return out
}

func (o *output) String() string {
	var out []string
	for _, path := range o.paths() {
		out = append(out, *path)
	}
	return strings.Join(out, ",")
}

func (o *output) Type() string { return "file" }

func (o *output) Set(path string) error {
	if path == stdio && o.unfit != "" {
		return errors.New("standard output cannot be used: " + o.unfit)
	}
	if path != "" && path != stdio {
		if err := checkExtension(path, o.extensions); err != nil {
			return err
		}
	}
	switch {
	case o.list == nil:
		*o.path = path
	case path != "":
		*o.list = append(*o.list, path)
	}
	return nil
}

// checkExtension returns an error that lists the known extensions if that of a file to write is not one of them.
func checkExtension(path string, known []string) error {
	ext := strings.ToLower(filepath.Ext(path))
	if len(known) == 0 || slices.Contains(known, ext) {
		return nil
	}
	return fmt.Errorf("%s: found extension %q, want %s", path, ext, orList(known))
}

// orList joins alternatives: a, b or c.
func orList(all []string) string {
	if n := len(all) - 1; n > 0 {
		return strings.Join(all[:n], ", ") + " or " + all[n]
	}
	return strings.Join(all, "")
}

// rowsValue is the value of a flag that selects rows.
type rowsValue struct {
	rows  *app.Rows
	parse func(string) (app.Rows, error)
	kind  string
}

func (v *rowsValue) String() string { return "" }
func (v *rowsValue) Type() string   { return v.kind }
func (v *rowsValue) Set(text string) (err error) {
	*v.rows, err = v.parse(text)
	return err
}

// rowsFlags adds the flags that select rows: one, or several. use is what is done with them.
func rowsFlags(cmd *cobra.Command, heading, use string) {
	rows := new(app.Rows)
	flagsIn(cmd, heading, func(f *pflag.FlagSet) {
		f.Var(&rowsValue{rows, app.ParseRow, "int"}, "row", "Row or frame of a file to "+use+", counted from 0.")
		f.Var(&rowsValue{rows, app.ParseRows, "string"}, "rows", "Rows of a file to "+use+
			", such as 0:24: the first, and the one after the last.")
	})
	cmd.MarkFlagsMutuallyExclusive("row", "rows")
}

// rowsOf returns the rows that flags select.
func rowsOf(fs *pflag.FlagSet) app.Rows {
	if f := fs.Lookup("rows"); f != nil {
		if v, ok := f.Value.(*rowsValue); ok {
			return *v.rows
		}
	}
	return app.Rows{}
}

// without returns an error if a flag is set together with one that has no effect beside it.
func without(f *pflag.FlagSet, name string, others ...string) error {
	for _, other := range others {
		if f.Changed(other) {
			return fmt.Errorf("--%s has no effect with --%s", other, name)
		}
	}
	return nil
}

// finishFlags registers the completions that the values of a command's flags declare.
func finishFlags(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		switch v := f.Value.(type) {
		case *choice:
			_ = cmd.RegisterFlagCompletionFunc(f.Name, // the flag exists
				cobra.FixedCompletions(v.choices, cobra.ShellCompDirectiveNoFileComp))
		case *output:
			_ = cmd.RegisterFlagCompletionFunc(f.Name, ofKind(v.extensions))
		default:
			if kind := fileKinds[f.Name]; kind != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, ofKind(kind)) // an error if the key has its own
			}
		}
	})
	if cmd.ValidArgsFunction == nil && len(arguments(cmd)) > 0 {
		cmd.ValidArgsFunction = completeArgument
	}
}

// ofKind completes the names of files by their extensions; without any, all files.
func ofKind(extensions []string) cobra.CompletionFunc {
	if len(extensions) == 0 {
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	}
	names := make([]string, len(extensions))
	for i, e := range extensions {
		names[i] = strings.TrimPrefix(e, ".")
	}
	return cobra.FixedCompletions(names, cobra.ShellCompDirectiveFilterFileExt)
}

// Extensions of the files that people name.
var (
	modelExtensions = []string{".keras", ".h5", ".hdf5", ".onnx", ".safetensors", ".json"}
	savedExtensions = []string{".keras", ".h5", ".hdf5", ".onnx", ".safetensors"}
	yamlExtensions  = []string{".yaml", ".yml"}
)

// fileKinds are the extensions of files that flags without another completion name.
var fileKinds = map[string][]string{
	"config": yamlExtensions,
	"model":  modelExtensions, "init": modelExtensions, "shadow": modelExtensions, "canary": modelExtensions,
	"alternative": modelExtensions, "input": {".npy"}, "output": {".npy"},
}

// argumentKinds are the extensions of files that arguments name. Arguments of other names are files of any kind.
var argumentKinds = map[string][]string{
	"MODEL": modelExtensions, "NAMES": {".txt", ".json"}, "RECORDING": {".pcap", ".pcapng"},
}

// noFiles are the names of arguments that are no files.
var noFiles = []string{"ID", "TOPIC", "GROUP", "COMMAND"}

// completeArgument completes an argument by its name in the synopsis.
func completeArgument(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names := arguments(cmd)
	name := strings.Trim(names[min(len(args), len(names)-1)], "[].")
	if len(args) >= len(names) && !strings.HasSuffix(strings.Trim(names[len(names)-1], "[]"), "...") ||
		slices.Contains(noFiles, name) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return ofKind(argumentKinds[name])(cmd, args, prefix)
}
