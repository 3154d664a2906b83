package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/internal/option"
)

// helpWidth is the width of help in columns.
const helpWidth = 100

// writeHelp writes the help of a command: purpose, synopsis and examples first, then details, subcommands and flags.
func writeHelp(w io.Writer, cmd *cobra.Command) {
	fmt.Fprintf(w, "%s\n\nUsage:\n", cmd.Short)
	group := cmd.HasAvailableSubCommands()
	if !group || len(arguments(cmd)) > 0 {
		fmt.Fprintf(w, "  %s\n", cmd.UseLine())
	}
	if group {
		fmt.Fprintf(w, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	if details := strings.TrimSpace(strings.TrimPrefix(cmd.Long, cmd.Short+".")); details != "" {
		fmt.Fprintf(w, "\n%s\n", details)
	}
	if group {
		fmt.Fprint(w, "\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-*s  %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	if f := cmd.LocalFlags(); f.HasAvailableFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", f.FlagUsagesWrapped(helpWidth))
	}
	if f := cmd.InheritedFlags(); f.HasAvailableFlags() {
		fmt.Fprintf(w, "\nGlobal flags:\n%s", f.FlagUsagesWrapped(helpWidth))
	}
	if group {
		fmt.Fprintf(w, "\nRun '%s COMMAND --help' for the help of a command.\n", cmd.CommandPath())
	}
}

// helpCommand returns the command that shows the help of another. Unlike cobra's, it reports an unknown command.
func helpCommand() *cobra.Command {
	cmd := command("help [COMMAND...]", "Show the help of a command")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		found, rest, err := cmd.Root().Find(args)
		if err != nil {
			return err
		}
		if err := noArgs(found, rest); err != nil {
			return err
		}
		return found.Help()
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
		}
	}
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
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), option.DidYouMean(args[0], names))
}

// usageError returns an error that names the command and shows its synopsis.
func usageError(cmd *cobra.Command, problem string) error {
	name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	return fmt.Errorf("%s: %s\nusage: %s", name, problem, cmd.UseLine())
}

// suggestFlag adds the flag that was probably meant to the error for an unknown one.
func suggestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return fmt.Errorf("%w%s", err, option.DidYouMean("--"+unknown.GetSpecifiedName(), names))
}
