package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/confined"
	"github.com/voxelstream/voxelstream/internal/budget"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/sandbox"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// cli holds the state of one command line.
type cli struct {
	in          io.Reader // nil means standard input
	out, err    io.Writer // receive results; progress, log messages and errors
	config      string
	json, quiet bool
	started     bool  // arguments and flags are valid
	misspelt    error // about the command whose help was asked for
	signals     interrupts
	streams     streams
	terminal    bool         // out is standard output, which may be a terminal
	records     *slog.Logger // with --log-format json: receives the error of the command
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "voxelstream",
		Short:         "Classify RGB-D frames, lidar scans and HDF5 archives as voxels, live and in bulk",
		Example:       "  voxelstream generate --count 200 --out digits.h5\n  voxelstream run digits.h5",
		Version:       app.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.StringVar(&c.config, "config", "", "Configuration file; see config.yaml. (default $"+config.EnvPrefix+"CONFIG)")
	f.BoolVar(&c.json, "json", false, "Print results as JSON.")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "Hide progress, summaries and log messages below warn.")
	f.VisitAll(func(f *pflag.Flag) { inGroup(f, groupGlobal) })
	keyFlags(root, f, config.Flags("log", "threads", "seed"))
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Pipeline", []*cobra.Command{c.run(), c.ingest(), c.classify(), c.serve()}},
		{"Data", []*cobra.Command{
			c.predict(), c.objects(), c.inspect(), c.voxelize(), c.convert(), c.generate(), c.reprocess(),
		}},
		{"Models", []*cobra.Command{c.train(), c.evaluate(), c.model()}},
		{"Kafka", []*cobra.Command{c.topics(), c.lag(), c.dlq(), c.broker()}},
		{"Setup", []*cobra.Command{c.configCommand(), c.doctor(), c.version()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.title
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(c.docs())
	root.SetHelpCommandGroupID("Setup")
	root.SetCompletionCommandGroupID("Setup")
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		if c.misspelt = misspelt(cmd); c.misspelt == nil {
			writeHelp(cmd.OutOrStdout(), cmd, c.helpWidth(), false)
		}
	})
	root.SetHelpCommand(c.helpCommand())
	root.InitDefaultHelpCmd() // adds it
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil { // by itself, it would accept any argument
		completion.Args, completion.Short = noArgs, "Generate the completion script of a shell"
		completion.Example = "  source <(voxelstream completion bash)"
		completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		for _, shell := range completion.Commands() {
			shell.Short = "Generate the completion script for " + shell.Name()
			shell.Example = "  voxelstream completion " + shell.Name()
		}
	}
	finishHelp(root)
	return root
}

// Exit codes. That of a command that a signal has stopped is 128 plus the number of the signal.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDeadLetters = 3
)

// exitCode returns the exit code for an error. Errors from cobra are usage errors.
func (c *cli) exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case !c.started, app.IsUsage(err):
		return exitUsage
	case errors.Is(err, app.ErrDeadLetters), errors.Is(err, app.ErrSkipped):
		return exitDeadLetters
	}
	return cmp.Or(c.signals.code(), exitFailed)
}

// file returns the path of the configuration file, or an empty string.
func (c *cli) file() string {
	if path := cmp.Or(c.config, os.Getenv(config.EnvPrefix+"CONFIG")); path != stdio {
		return path
	}
	return "/dev/stdin"
}

// work is the implementation of a command.
type work = func(ctx context.Context, a *app.Env, args []string) error

// do returns the RunE function of a command that a signal stops: it loads the configuration, handles signals and calls
// f.
func (c *cli) do(f work) func(*cobra.Command, []string) error { return c.start(f, false) }

// drain is like do, for a command that finishes its work in flight after a signal.
func (c *cli) drain(f work) func(*cobra.Command, []string) error { return c.start(f, true) }

func (c *cli) start(f work, drains bool) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		c.started = true
		loaded, err := config.Load(c.file(), os.Environ(), overrides(cmd.Flags()))
		if err != nil {
			return err
		}
		if loaded.Threads > 0 {
			runtime.GOMAXPROCS(loaded.Threads)
		}
		machine := budget.Machine()
		budget.LimitHeap(machine)
		loaded.Ingest.Budget = budget.New(loaded.Ingest.Memory.Of(machine))
		if cmd.Flags().Lookup(inputFormat) != nil {
			loaded.Ingest.FormatFlag = inputFormat
		}
		pool, err := confine(&loaded.Ingest)
		if err != nil {
			return err
		}
		if pool != nil {
			defer pool.Close()
		}
		durable.Sweep(os.TempDir())
		ctx, abort, stop := c.signals.listen(drains)
		defer stop()
		c.streams.in, c.streams.limit = cmp.Or[io.Reader](c.in, os.Stdin), int64(loaded.Ingest.WithDefaults().MaxBytes)
		defer func() { err = errors.Join(err, c.streams.close()) }()
		if args, err = c.replaceStreams(ctx, cmd, args); err != nil {
			return err
		}
		s := screen.New(c.err, os.Stderr)
		log := loaded.Log
		if c.quiet && !cmd.Flags().Changed("log-level") {
			log.Level = max(log.Level, config.Level(slog.LevelWarn))
		}
		a := &app.Env{
			Config: loaded, Log: logger(log, c.streams.writer(s), s.Terminal()), Stdout: c.out, Abort: abort,
			Notes: &app.Notes{},
		}
		if pool != nil {
			a.Confined = pool
		}
		for name, on := range map[string]*bool{"force": &a.Force, "stay": &a.Stay, "forever": &a.Forever} {
			if f := cmd.Flags().Lookup(name); f != nil {
				*on = f.Value.String() == "true"
			}
		}
		a.Rows = rowsOf(cmd.Flags())
		switch {
		case log.Format == "json":
			c.records, a.Progress = a.Log, app.Logged(a.Log)
		case !c.quiet:
			a.Screen, a.Progress = s, app.OnScreen(s)
		}
		if err = f(ctx, a, args); err == nil || errors.Is(err, app.ErrSkipped) {
			err = errors.Join(err, c.streams.flush(c.out))
		}
		return err
	}
}

// confine makes the workers that read inputs, as the options say; nil if inputs are read in this process.
func confine(o *ingest.Options) (*confined.Pool, error) {
	if o.SandboxStrict {
		sandbox.Demand()
	}
	switch {
	case o.Sandbox == ingest.SandboxOff:
		return nil, nil //nolint:nilnil // no workers are no error
	case !sandbox.Available && (o.Sandbox == ingest.SandboxAll || o.SandboxStrict):
		return nil, app.Usage(errors.New("ingest.sandbox: this system cannot confine processes, want off or auto " +
			"and no ingest.sandbox_strict"))
	case !sandbox.Available:
		return nil, nil //nolint:nilnil // as above
	}
	pool := confined.NewPool(o.Budget.Limit(), runtime.GOMAXPROCS(0))
	if o.Sandbox == ingest.SandboxAll {
		o.Confined = pool
	}
	return pool, nil
}

// Percentages for the garbage collector (see GOGC). Rows, volumes and plans are large and hold no pointers, so
// collecting is cheap, and the default of 100 would double memory use. Streaming produces more garbage than training;
// there, 80 takes 10 to 20 % less memory at the same speed.
const (
	gcKeeping   = 10
	gcStreaming = 80
)

// collecting runs f with a percentage for the garbage collector, unless GOGC sets one.
func collecting(percent int, f work) work {
	return func(ctx context.Context, a *app.Env, args []string) error {
		if os.Getenv("GOGC") == "" {
			defer debug.SetGCPercent(debug.SetGCPercent(percent))
		}
		return f(ctx, a, args)
	}
}

// served runs f with the HTTP listener, if one is configured.
func served(f work) work {
	return func(ctx context.Context, a *app.Env, args []string) error {
		return a.Serve(ctx, func(ctx context.Context, a *app.Env) error { return f(ctx, a, args) })
	}
}

// keyAnnotation marks a flag with the configuration key that it sets.
const keyAnnotation = "voxelstream_key"

// keyFlags adds flags that set configuration keys. Their help, default and type come from the configuration, which
// also validates the values.
func keyFlags(cmd *cobra.Command, fs *pflag.FlagSet, flags map[string]string) {
	for name, key := range flags {
		k := config.Describe(key)
		if f := fs.Lookup(name); f != nil { // one flag for several keys
			f.Annotations[keyAnnotation] = append(f.Annotations[keyAnnotation], key)
			f.Usage += " " + k.Doc
			continue
		}
		switch k.Kind {
		case "bool":
			fs.Bool(name, k.Default == "true", k.Doc)
		case "list":
			fs.VarP(&listValue{keyValue: keyValue{k.Default, k.Kind}, whole: k.Whole}, name, shorthands[name], k.Doc)
		default:
			fs.VarP(&keyValue{k.Default, k.Kind}, name, shorthands[name], k.Doc)
		}
		_ = fs.SetAnnotation(name, keyAnnotation, []string{key}) // the flag exists
		inGroup(fs.Lookup(name), k.Group)
		if len(k.Suggestions) > 0 {
			_ = cmd.RegisterFlagCompletionFunc(name,
				cobra.FixedCompletions(completions(k), cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// completions returns the choices of a key with their documentation, or suggestions.
func completions(k config.Key) []cobra.Completion {
	var out []cobra.Completion
	for i, choice := range k.Suggestions {
		if len(k.ChoiceDocs) > 0 {
			choice = cobra.CompletionWithDesc(choice, k.ChoiceDocs[i])
		}
		out = append(out, choice)
	}
	return out
}

// keyValue is the value of a flag that sets a key, as text.
type keyValue struct{ text, kind string }

func (v *keyValue) String() string     { return v.text }
func (v *keyValue) Set(s string) error { v.text = s; return nil }
func (v *keyValue) Type() string       { return v.kind }

// listValue is a flag that sets a list. It may be repeated. Its values together replace the configured list, and an
// empty value adds nothing.
type listValue struct {
	keyValue
	whole bool // each value is one item; otherwise items are separated by commas
	items []string
}

func (v *listValue) Set(s string) error {
	switch {
	case s == "":
	case v.whole:
		v.items = append(v.items, s)
	default:
		v.items = append(v.items, strings.Split(s, ",")...)
	}
	v.text = strings.Join(v.items, ",")
	return nil
}

// shorthands maps flags that set keys to their one-letter names.
var shorthands = map[string]string{"out": "o"}

// notAnnotation marks a flag that sets a key to false.
const notAnnotation = "voxelstream_not"

// keyNot adds a flag that sets a key to false.
func keyNot(fs *pflag.FlagSet, name, key, doc string) {
	fs.Bool(name, false, doc)
	_ = fs.SetAnnotation(name, notAnnotation, []string{key}) // the flag exists
	inGroup(fs.Lookup(name), config.Describe(key).Group)
}

// overrides returns the keys set by flags.
func overrides(fs *pflag.FlagSet) []config.Override {
	var out []config.Override
	fs.Visit(func(f *pflag.Flag) {
		for _, key := range f.Annotations[keyAnnotation] {
			o := config.Override{Key: key, Flag: f.Name, Value: f.Value.String()}
			if list, ok := f.Value.(*listValue); ok {
				o.List = append([]string{}, list.items...) // not nil: an empty list is one
			}
			out = append(out, o)
		}
		if key := f.Annotations[notAnnotation]; len(key) == 1 && f.Value.String() == "true" {
			out = append(out, config.Override{Key: key[0], Flag: f.Name, Value: "false"})
		}
	})
	return out
}

// Groups of flags shared by several commands.
var (
	kafkaFlags      = config.Flags("kafka", "broker.data_dir")
	voxelFlags      = config.Flags("voxelize")
	ingestFlags     = config.Flags("ingest")
	perceptionFlags = stepFlags()
	objectsFlag     = config.Flags("perception")
	sinkFlags       = config.Flags("sinks", "model.top_k")
	topKFlag        = config.Flags("model.top_k")
	modelFlag       = config.Flags("model.path", "model.weights", "model.input_shape", "model.exact", "model.classes")
	switchFlags     = config.Flags("model.alternatives", "model.folder")
	rolloutFlags    = config.Flags("model.shadow", "model.shadow_percent", "model.canary", "model.canary_percent",
		"model.announcement")
	openFlags = config.Flags("model.weights", "model.input_shape", "model.exact")
	httpFlag  = config.Flags("http")
)

// inputFormat is the flag for the format of the inputs of commands whose --format is that of the output.
const inputFormat = "input-format"

// stepFlags returns objectsFlag for a command that always finds objects: the flags of the steps alone.
func stepFlags() map[string]string {
	flags := config.Flags("perception")
	delete(flags, "objects")
	return flags
}

// inputFormatFlags returns ingestFlags for a command whose --format is the format of the output: --input-format takes
// the place of --format.
func inputFormatFlags() map[string]string {
	flags := maps.Clone(ingestFlags)
	flags[inputFormat] = flags["format"]
	delete(flags, "format")
	return flags
}

// forceFlag adds the flag for overwriting files.
func forceFlag(cmd *cobra.Command) {
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) { f.Bool("force", false, "Overwrite existing files.") })
}

// command returns a command with flags that set configuration keys. Its synopsis, use, determines the arguments that it
// accepts.
func command(use, short string, flags ...map[string]string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: checkArgs}
	for _, f := range flags {
		keyFlags(cmd, cmd.Flags(), f)
	}
	return cmd
}
