package main

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app/config"
)

// commands returns all commands that help lists, with the root first.
func commands() []*cobra.Command {
	var out []*cobra.Command
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		out = append(out, cmd)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
	}
	walk((&cli{}).root())
	return out
}

// line returns the arguments that run a command: its name, as many arguments as it needs, and more.
func line(cmd *cobra.Command, more ...string) []string {
	args := strings.Fields(cmd.CommandPath())[1:]
	for _, name := range arguments(cmd) {
		if !strings.HasPrefix(name, "[") {
			args = append(args, "x")
		}
	}
	return append(args, more...)
}

// said runs a command line and returns its exit code and all that it prints.
func said(args ...string) (string, int) {
	var out bytes.Buffer
	code := (&cli{out: &out, err: &out}).execute(args)
	return out.String(), code
}

// TestHelpOfEveryCommand: help fits a terminal of 80 columns, begins with examples, and names every flag once, below
// one of few headings.
func TestHelpOfEveryCommand(t *testing.T) {
	const width, maxPlain = 80, 12
	t.Setenv("COLUMNS", "")
	for _, cmd := range commands() {
		name := cmd.CommandPath()
		help, code := said(append([]string{"help"}, strings.Fields(name)[1:]...)...)
		if code != exitDone {
			t.Errorf("help %s: found exit code %d, want 0", name, code)
		}
		if named := 2 + cmd.NamePadding() + 2 + utf8.RuneCountInString(cmd.Short); named > width && cmd.HasParent() {
			t.Errorf("%s: found a one-liner of %d columns with the name, want %d", name, named, width)
		}
		if strings.HasSuffix(cmd.Short, ".") || strings.Contains(help, "[=true") {
			t.Errorf("%s: found a full stop after %q, or a switch with a value", name, cmd.Short)
		}
		if cmd.Example == "" || !strings.Contains(cmd.Example, "voxelstream ") {
			t.Errorf("%s: found no example", name)
		}
		for l := range strings.SplitSeq(help, "\n") {
			if n := utf8.RuneCountInString(l); n > width {
				t.Errorf("%s: found %d columns in %q", name, n, l)
			}
		}
		plain := 0
		for _, g := range flagGroups(cmd) {
			for _, f := range g.flags {
				if g.heading == groupOptions {
					plain++
				}
				if strings.Count(flagDoc(f), "(default") > 1 || f.Usage == "" {
					t.Errorf("%s --%s: found %q, want the default once", name, f.Name, flagDoc(f))
				}
				if n := strings.Count(help, "\n"+flagName(f)+"\n") + strings.Count(help, "\n"+flagName(f)+" "); n != 1 {
					t.Errorf("%s --%s: found %d times in help, want it once", name, f.Name, n)
				}
			}
		}
		if plain > maxPlain {
			t.Errorf("%s: found %d flags without a heading, want at most %d", name, plain, maxPlain)
		}
	}
}

// TestBriefHelp: --help has at most 250 lines. It names every flag, with a description unless many commands have it.
func TestBriefHelp(t *testing.T) {
	const maxLines = 250
	for _, cmd := range commands() {
		name := cmd.CommandPath()
		help, code := said(append(strings.Fields(name)[1:], "--help")...)
		if code != exitDone {
			t.Errorf("%s --help: found exit code %d, want 0", name, code)
		}
		if n := strings.Count(help, "\n"); n > maxLines {
			t.Errorf("%s --help: found %d lines, want at most %d", name, n, maxLines)
		}
		brief := false
		for _, g := range flagGroups(cmd) {
			for _, f := range g.flags {
				want := flagName(f)
				if shared(cmd, g.heading, f) {
					want, brief = "--"+f.Name, true
				}
				if !slices.Contains(strings.FieldsFunc(help, unicode.IsSpace), "--"+f.Name) || !strings.Contains(help, want) {
					t.Errorf("%s --help: found no %s", name, want)
				}
			}
		}
		hint := "'voxelstream help" + strings.TrimPrefix(name, "voxelstream") + "'"
		if found := strings.Contains(help, hint); found != brief {
			t.Errorf("%s --help: found the hint %s: %t, want %t", name, hint, found, brief)
		}
	}
}

// TestHelpWidth: help is as wide as COLUMNS says, between 40 and 80 columns.
func TestHelpWidth(t *testing.T) {
	for columns, want := range map[string]int{
		"": 80, "100": 80, "60": 60, "40": 40, "10": 40, "0": 80, "-5": 80, "wide": 80,
	} {
		t.Setenv("COLUMNS", columns)
		if got := (&cli{}).helpWidth(); got != want {
			t.Errorf("COLUMNS=%s: found %d, want %d", columns, got, want)
		}
	}
}

// TestNarrowHelp: narrow help has the same words. Only single words and quoted ones are longer than its lines.
func TestNarrowHelp(t *testing.T) {
	for _, cmd := range commands() {
		var words string
		for _, width := range []int{80, 60, 40} {
			var help strings.Builder
			writeHelp(&help, cmd, width, true)
			// A command line that is broken is still the same.
			now := strings.Join(strings.Fields(strings.ReplaceAll(help.String(), " \\\n", " ")), " ")
			if words = cmp.Or(words, now); now != words {
				t.Errorf("%s at %d columns: help has other words", cmd.CommandPath(), width)
			}
			for l := range strings.SplitSeq(help.String(), "\n") {
				long := strings.TrimSuffix(strings.TrimLeft(l, " "), ` \`)
				if n := utf8.RuneCountInString(l); n > width && strings.Contains(long, " ") &&
					!strings.Contains(long, "'") && flagOf(cmd, l) == nil {
					t.Errorf("%s: found %d columns in %q, want %d", cmd.CommandPath(), n, l, width)
				}
			}
		}
	}
}

// flagOf returns the flag whose name, with its kind, is a line of help.
func flagOf(cmd *cobra.Command, line string) (found *pflag.Flag) {
	for _, g := range flagGroups(cmd) {
		for _, f := range g.flags {
			if flagName(f) == line {
				found = f
			}
		}
	}
	return found
}

// TestReflowedList: the texts of a list are wrapped, its terms stay where they are.
func TestReflowedList(t *testing.T) {
	const list = "  FILE\n      One two three four five six\n      seven.\n" +
		"      key=VALUE\n          Eight nine ten eleven twelve thirteen.\n" +
		"    raw     as measured, which is long\n            and has two lines\n    std     the second"
	for width, want := range map[int]string{
		80: "  FILE\n      One two three four five six seven.\n" +
			"      key=VALUE\n          Eight nine ten eleven twelve thirteen.\n" +
			"    raw     as measured, which is long and has two lines\n    std     the second",
		40: "  FILE\n      One two three four five six seven.\n" +
			"      key=VALUE\n          Eight nine ten eleven twelve\n          thirteen.\n" +
			"    raw\n        as measured, which is long and\n        has two lines\n    std\n        the second",
	} {
		if got := reflowedList(list, width); got != want {
			t.Errorf("found, at %d columns,\n%s\nwant\n%s", width, got, want)
		}
	}
}

// TestUsageOfEveryCommand: misspelt flags and values get suggestions, and further arguments are refused.
func TestUsageOfEveryCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, cmd := range commands() {
		name := cmd.CommandPath()
		refused := func(want string, args ...string) {
			t.Helper()
			if out, code := said(args...); code != exitUsage || !strings.Contains(out, want) {
				t.Errorf("%q: found exit code %d and %q, want %d and %q", args, code, out, exitUsage, want)
			}
		}
		refused("did you mean --json?", line(cmd, "--jsonn")...)
		if names := arguments(cmd); cmd.Name() != "help" && !strings.Contains(strings.Join(names, " "), "...") {
			more := slices.Concat(strings.Fields(name)[1:], slices.Repeat([]string{"x"}, len(names)+1))
			refused("", more...)
		}
		if cmd.HasAvailableSubCommands() && len(arguments(cmd)) == 0 {
			continue // its flags have no effect
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			for _, choices := range choicesOf(f) {
				wrong := choices[len(choices)-1] + "x"
				want := "want"
				if len(wrong) > 5 {
					want = "did you mean"
				}
				refused(want, line(cmd, "--"+f.Name+"="+wrong)...)
			}
			if o, ok := f.Value.(*output); ok && len(o.extensions) > 0 {
				refused("want "+orList(o.extensions), line(cmd, "--"+f.Name+"=x.zzz")...)
			}
		})
	}
}

// choicesOf returns the choices of each setting of a flag that has any.
func choicesOf(f *pflag.Flag) [][]string {
	var out [][]string
	if c, ok := f.Value.(*choice); ok {
		out = append(out, c.choices)
	}
	for _, key := range f.Annotations[keyAnnotation] {
		if k := config.Describe(key); len(k.Choices) > 0 {
			out = append(out, k.Choices)
		}
	}
	return out
}

// TestCompletionOfEveryCommand: completion offers every flag, the choices of flags that have some, and files by their
// kind.
func TestCompletionOfEveryCommand(t *testing.T) {
	for _, cmd := range commands() {
		if cmd.HasAvailableSubCommands() && len(arguments(cmd)) == 0 {
			continue
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		complete := func(args ...string) []string {
			out, _ := said(slices.Concat([]string{"__complete"}, path, args)...)
			return strings.Split(out, "\n")
		}
		offers := func(all []string, value string) bool {
			return slices.ContainsFunc(all, func(l string) bool { return l == value || strings.HasPrefix(l, value+"\t") })
		}
		flags := complete("--")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !offers(flags, "--"+f.Name) {
				t.Errorf("%s: completion does not offer --%s", cmd.CommandPath(), f.Name)
			}
			for _, choices := range choicesOf(f) {
				if offered := complete("--"+f.Name, ""); len(choices) < 10 && !offers(offered, choices[0]) {
					t.Errorf("%s --%s: found %q, want %s among them", cmd.CommandPath(), f.Name, offered, choices[0])
				}
			}
			if o, ok := f.Value.(*output); ok && len(o.extensions) > 0 {
				if offered := complete("--"+f.Name, ""); !offers(offered, o.extensions[0][1:]) {
					t.Errorf("%s --%s: found %q, want files with %s", cmd.CommandPath(), f.Name, offered, o.extensions[0])
				}
			}
		})
		if name := strings.Trim(strings.Join(arguments(cmd), " "), "[]. "); name == "MODEL" {
			if offered := complete(""); !offers(offered, "keras") {
				t.Errorf("%s: found %q, want model files", cmd.CommandPath(), offered)
			}
		}
	}
}
