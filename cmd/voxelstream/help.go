package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Widths of help in columns: that of a terminal, between these.
const (
	minHelpWidth = 40
	maxHelpWidth = 80
)

// helpWidth returns the width of help: COLUMNS, or else that of the terminal, if they are not too large or too small.
func (c *cli) helpWidth() int {
	return min(max(cmp.Or(columns(), c.width(), maxHelpWidth), minHelpWidth), maxHelpWidth)
}

// writeHelp writes the help of a command, width columns wide: purpose, synopsis and examples first, then details,
// subcommands and flags. Unless it is the whole help, it only names the flags that many commands share.
func writeHelp(w io.Writer, cmd *cobra.Command, width int, whole bool) {
	fmt.Fprintf(w, "%s\n\nUsage:\n", wrapped(cmd.Short, "", width))
	group := cmd.HasAvailableSubCommands()
	if !group || len(arguments(cmd)) > 0 {
		fmt.Fprintln(w, commandLine(cmd.UseLine(), "", width))
	}
	if group {
		fmt.Fprintf(w, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.Example != "" {
		fmt.Fprint(w, "\nExamples:\n")
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			fmt.Fprintln(w, commandLine(line, ` \`, width))
		}
	}
	if details := details(cmd); details != "" {
		fmt.Fprintf(w, "\n%s\n", reflowed(details, width))
	}
	if group {
		writeCommands(w, cmd, width)
	}
	brief := false
	for _, g := range flagGroups(cmd) {
		fmt.Fprintf(w, "\n%s:\n", g.heading)
		var named []string
		for _, f := range g.flags {
			if !whole && shared(cmd, g.heading, f) {
				named = append(named, "--"+f.Name)
				continue
			}
			column := flagColumn
			if width-column < minText {
				column = flagColumnNarrow
			}
			fmt.Fprintln(w, hanging(flagName(f), flagDoc(f), column, width))
		}
		if len(named) > 0 {
			fmt.Fprintln(w, wrapped(strings.Join(named, " "), "      ", width))
			brief = true
		}
	}
	if brief {
		hint := fmt.Sprintf("Run 'voxelstream help%s' for the descriptions of all flags.",
			strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()))
		fmt.Fprintf(w, "\n%s\n", wrapped(hint, "", width))
	}
	if group {
		hint := fmt.Sprintf("Run '%s COMMAND --help' for the help of a command.", cmd.CommandPath())
		fmt.Fprintf(w, "\n%s\n", wrapped(hint, "", width))
	}
}

// shared reports whether a flag below a heading is one of many that most commands have, and says little about this one.
func shared(cmd *cobra.Command, heading string, f *pflag.Flag) bool {
	key := len(f.Annotations[keyAnnotation]) > 0
	return key && (heading == groupInput || heading == groupVoxelization && cmd.Name() != "voxelize")
}

// commandLine breaks a command line between its words. All lines but the last have the end.
func commandLine(text, end string, width int) string {
	const indent, further = "  ", "      "
	line, quoted := indent, false
	var lines []string
	for i, word := range strings.Fields(text) {
		first := i == 0 || line == further
		switch {
		case first:
		case !quoted && utf8.RuneCountInString(line+" "+word+end) > width:
			lines, line = append(lines, line+end), further
		default:
			line += " "
		}
		line += word
		quoted = quoted != (strings.Count(word, "'")%2 == 1)
	}
	return strings.Join(append(lines, line), "\n")
}

// details returns the long description of a command without its first sentence, the short one.
func details(cmd *cobra.Command) string {
	return strings.TrimSpace(strings.TrimPrefix(cmd.Long, cmd.Short+"."))
}

// writeCommands lists the subcommands, in the groups of the command if it has any.
func writeCommands(w io.Writer, cmd *cobra.Command, width int) {
	groups := cmd.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{Title: "Commands"}}
	}
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s:\n", g.Title)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == g.ID {
				fmt.Fprintln(w, hanging("  "+sub.Name(), sub.Short, sub.NamePadding()+4, width))
			}
		}
	}
}

// The column at which the descriptions of flags begin, and that on a terminal where less than minText columns would be
// left for them.
const (
	flagColumn       = 28
	flagColumnNarrow = 10
	minText          = 30
)

// flagName returns the name of a flag as help shows it, with its shorthand and the kind of its value.
func flagName(f *pflag.Flag) string {
	name := "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	if kind := f.Value.Type(); kind != "bool" {
		name += " " + kind
	}
	return name
}

// flagDoc returns the description of a flag with its default, once.
func flagDoc(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
		return f.Usage
	}
	if strings.Contains(f.Usage, "(default") {
		return f.Usage
	}
	return fmt.Sprintf("%s (default %s)", f.Usage, strings.Trim(f.DefValue, "[]"))
}

// flagGroup is a heading in the help of a command, and the flags below it.
type flagGroup struct {
	heading string
	flags   []*pflag.Flag
}

// groupOptions is the heading of flags that no other has.
const groupOptions = "Options"

// flagGroups returns the flags of a command by their headings: first those of the command alone, those of most commands
// last.
func flagGroups(cmd *cobra.Command) []flagGroup {
	var out []flagGroup
	add := func(heading string, f *pflag.Flag) {
		i := slices.IndexFunc(out, func(g flagGroup) bool { return g.heading == heading })
		if i < 0 {
			i, out = len(out), append(out, flagGroup{heading: heading})
		}
		out[i].flags = append(out[i].flags, f)
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			add(headingOf(f), f)
		}
	})
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			add(groupGlobal, f)
		}
	})
	slices.SortStableFunc(out, func(a, b flagGroup) int {
		return cmp.Compare(slices.Index(headings, a.heading), slices.Index(headings, b.heading))
	})
	return out
}

// headingOf returns the heading of a flag.
func headingOf(f *pflag.Flag) string {
	if heading := f.Annotations[groupAnnotation]; len(heading) > 0 {
		return heading[0]
	}
	return groupOptions
}

// headings are those of flags in the order of help: what a command is about, what comes out and goes in, and what most
// commands have. Others come first.
var headings = []string{
	groupOptions, "Training", "Network", "Learning rate", "Optimizer", "Loss", "Early stopping", "Serving", "Model",
	groupOutput, groupInput, "Objects", groupVoxelization, groupKafka, "Embedded broker", "HTTP", groupGlobal,
}

// reflowed wraps the paragraphs of a text anew. Lines that begin with a dash stay as they are.
func reflowed(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		switch {
		case strings.HasPrefix(p, " "), strings.Contains(p, "\n "):
			paragraphs[i] = reflowedList(p, width)
		case !strings.Contains(p, "\n- "):
			paragraphs[i] = wrapped(p, "", width)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// reflowedList wraps the lines of a list anew. An entry is a term and, after two spaces or on indented lines below it, a
// text.
func reflowedList(list string, width int) string {
	type entry struct {
		term, text string
		column     int // of the text
	}
	var entries []entry
	lines := strings.Split(list, "\n")
	for i, line := range lines {
		text := strings.TrimLeft(line, " ")
		e := entry{text: text, column: len(line) - len(text)}
		above := i+1 < len(lines) && strings.HasPrefix(lines[i+1], line[:e.column]+" ") // a term above its text
		if term, text, ok := strings.Cut(text, "  "); ok {
			text = strings.TrimLeft(text, " ")
			e = entry{line[:e.column] + term, text, len(line) - len(text)}
		}
		if last := len(entries) - 1; last >= 0 && e.term == "" && !above && e.column == entries[last].column {
			entries[last].text += " " + e.text
		} else {
			entries = append(entries, e)
		}
	}
	lines = lines[:0]
	for _, e := range entries {
		if indent := len(e.term) - len(strings.TrimLeft(e.term, " ")); e.term != "" && width-e.column < minText {
			e.column = indent + 4
		}
		lines = append(lines, hanging(e.term, e.text, e.column, width))
	}
	return strings.Join(lines, "\n")
}

// hanging returns a term and, from a column on, a text: beside the term if there is room for two spaces, or else below.
func hanging(term, text string, column, width int) string {
	lines := wrapped(text, strings.Repeat(" ", column), width)
	if term == "" {
		return lines
	}
	if n := utf8.RuneCountInString(term); n <= column-2 {
		return term + lines[n:]
	}
	return term + "\n" + lines
}

// wrapped breaks a text into lines of at most width columns, each indented. A longer word has a line of its own.
func wrapped(text, indent string, width int) string {
	var b strings.Builder
	line := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case line == 0:
			b.WriteString(indent)
			line = len(indent)
		case line+1+n > width:
			b.WriteString("\n" + indent)
			line = len(indent)
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += n
	}
	if line == 0 {
		return indent
	}
	return b.String()
}

// helpCommand returns the command that shows the whole help of another. Unlike cobra's, it reports an unknown command.
func (c *cli) helpCommand() *cobra.Command {
	cmd := command("help [COMMAND...]", "Show the help of a command with the descriptions of all its flags")
	cmd.Example = "  voxelstream help train"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		found, rest, err := cmd.Root().Find(args)
		if err != nil {
			return err
		}
		if err := noArgs(found, rest); err != nil {
			return err
		}
		writeHelp(cmd.OutOrStdout(), found, c.helpWidth(), true)
		return nil
	}
	return cmd
}

// plainBool is the value of a switch. It hides the method IsBoolFlag, for which pflag would show --name[=true|false].
type plainBool struct{ pflag.Value }

// finishHelp prepares the help of a command and its subcommands.
func finishHelp(cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	for _, f := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		f.VisitAll(func(f *pflag.Flag) {
			if _, done := f.Value.(plainBool); f.Value.Type() == "bool" && !done {
				f.Value = plainBool{f.Value}
			}
		})
	}
	for name, usage := range map[string]string{"help": "Show this help.", "version": "Show the version."} {
		if f := cmd.Flags().Lookup(name); f != nil {
			f.Usage = usage
			inGroup(f, groupGlobal)
		}
	}
	finishFlags(cmd)
	for _, sub := range cmd.Commands() {
		finishHelp(sub)
	}
}

// arguments returns the positional arguments in a command's synopsis, such as FILE, [FILE] or FILE...
func arguments(cmd *cobra.Command) []string {
	words := strings.Fields(cmd.Use)[1:]
	for i, word := range words {
		if strings.HasPrefix(word, "-") {
			return words[:i]
		}
	}
	return words
}

// checkArgs checks the number of arguments against the command's synopsis.
func checkArgs(cmd *cobra.Command, args []string) error {
	want := arguments(cmd)
	if len(want) == 0 {
		return noArgs(cmd, args)
	}
	for i, name := range want {
		if i >= len(args) && !strings.HasPrefix(name, "[") {
			return usageError(cmd, "missing "+strings.TrimSuffix(name, "..."))
		}
	}
	last := want[len(want)-1]
	if len(args) > len(want) && !strings.Contains(last, "...") {
		return usageError(cmd, fmt.Sprintf("found the extra argument %q", args[len(want)]))
	}
	return nil
}

// noArgs reports any argument. If the command groups others, the error suggests one of these.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	if len(names) == 0 {
		return usageError(cmd, fmt.Sprintf("found the argument %q, want none", args[0]))
	}
	advice := option.DidYouMean(args[0], names)
	if paths := nested(cmd, args[0]); advice == "" && len(paths) > 0 {
		advice = fmt.Sprintf(" (did you mean %s?)", strings.Join(paths, " or "))
	}
	if advice == "" {
		advice = "; run '" + cmd.CommandPath() + " --help' for a list"
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), advice)
}

// nested returns the paths below cmd of the commands with a name that others group, such as "model summary".
func nested(cmd *cobra.Command, name string) (paths []string) {
	for _, group := range cmd.Commands() {
		for _, sub := range group.Commands() {
			if sub.IsAvailableCommand() && sub.Name() == name {
				paths = append(paths, group.Name()+" "+name)
			}
		}
	}
	return paths
}

// usageError returns an error that names the command and shows its synopsis.
func usageError(cmd *cobra.Command, problem string) error {
	name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	return fmt.Errorf("%s: %s\nusage: %s", name, problem, cmd.UseLine())
}

// flagError returns the error for a flag of a command. Below a command that groups others, a misspelt command is why
// its flags are unknown, and is reported instead.
func flagError(cmd *cobra.Command, err error) error {
	return cmp.Or(misspelt(cmd), suggestFlag(cmd, err))
}

// misspelt returns an error if a command that groups others is followed by none of them.
func misspelt(cmd *cobra.Command) error {
	if cmd.HasAvailableSubCommands() && len(arguments(cmd)) == 0 {
		return noArgs(cmd, cmd.Flags().Args())
	}
	return nil
}

// suggestFlag adds the flag that was probably meant to the error for an unknown one, and shortens that for a value.
func suggestFlag(cmd *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		switch f := invalid.GetFlag(); f.Value.(type) {
		case *choice, *output: // their errors quote the value
			return fmt.Errorf("--%s: %w", f.Name, invalid.Unwrap())
		default:
			return fmt.Errorf("--%s: found %q, %w", f.Name, invalid.GetValue(), invalid.Unwrap())
		}
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	name := unknown.GetSpecifiedName()
	if shorts := unknown.GetSpecifiedShortnames(); shorts != "" {
		name = longNames[shorts]
		if slices.Contains(names, name) {
			return fmt.Errorf("%w (did you mean --%s?)", err, name)
		}
	}
	if best := option.Similar(name, names); best != "" {
		return fmt.Errorf("%w (did you mean --%s?)", err, best)
	}
	return err
}

// longNames maps letters that other tools use for flags to names of flags.
var longNames = map[string]string{"m": "model", "v": "verbose"}
