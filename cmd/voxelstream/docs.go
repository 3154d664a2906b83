package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/telemetry"
)

// docs writes generated files: the reference pages and config.yaml of the checkout at DIR or, with --man, man pages.
func (c *cli) docs() *cobra.Command {
	cmd := command("docs DIR", "Write the generated documentation")
	cmd.Hidden = true
	man := cmd.Flags().Bool("man", false, "Write man pages instead.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.started = true
		root := cmd.Root()
		if *man {
			root.DisableAutoGenTag = true // omits the date, which would change the pages every day
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return doc.GenManTree(root, &doc.GenManHeader{
				Title: "VOXELSTREAM", Section: "1", Manual: "Voxelstream", Source: "voxelstream " + app.Version,
			}, args[0])
		}
		dir := filepath.Join(args[0], "docs", "reference", "cli")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := writeCommandPages(dir, root); err != nil {
			return err
		}
		if err := config.WriteDocs(args[0]); err != nil {
			return err
		}
		reference := filepath.Join(args[0], "docs", "reference")
		return errors.Join(
			writePage(filepath.Join(reference, "metrics.md"), telemetry.WriteReference),
			writePage(filepath.Join(reference, "inputs.md"), input.WriteReference),
		)
	}
	return cmd
}

// writeCommandPages writes the reference pages of a command and its subcommands.
func writeCommandPages(dir string, cmd *cobra.Command) error {
	err := writePage(filepath.Join(dir, pageOf(cmd)), func(w io.Writer) error { return writeCommandPage(w, cmd) })
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			err = errors.Join(err, writeCommandPages(dir, sub))
		}
	}
	return err
}

// pageOf returns the file name of the page of a command.
func pageOf(cmd *cobra.Command) string {
	return strings.ReplaceAll(cmd.CommandPath(), " ", "_") + ".md"
}

// writeCommandPage writes the reference page of a command. Its flags have the headings of help.
func writeCommandPage(w io.Writer, cmd *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n%s.\n\n```\n%s\n```\n", cmd.CommandPath(), cmd.Short, cmd.UseLine())
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\n## Examples\n```\n%s\n```\n",
			strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
	}
	if details := details(cmd); details != "" {
		fmt.Fprintf(&b, "\n## Description\n%s\n", blocks(details))
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\n## Commands\n| command | does |\n|---|---|\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "| [%s](%s) | %s |\n", sub.Name(), pageOf(sub), cells.Replace(sub.Short))
			}
		}
	}
	for _, g := range flagGroups(cmd) {
		if g.heading == groupGlobal && cmd.HasParent() {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n| flag | meaning |\n|---|---|\n", g.heading)
		for _, f := range g.flags {
			fmt.Fprintf(&b, "| `%s` | %s |\n", strings.TrimSpace(flagName(f)), cells.Replace(flagDoc(f)))
		}
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, "\nSee also [%s](%s) and the [global flags](%s#global).\n", cmd.Parent().CommandPath(),
			pageOf(cmd.Parent()), pageOf(cmd.Root()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// blocks puts the indented lines of a text into Markdown blocks, so that they are shown as in help.
func blocks(text string) string {
	var b strings.Builder
	open, blank := false, ""
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			blank += "\n"
			continue
		}
		if indented := strings.HasPrefix(line, " "); indented && !open {
			b.WriteString(blank + "```text\n")
			open, blank = true, ""
		} else if !indented && open {
			b.WriteString("```\n")
			open = false
		}
		b.WriteString(blank + line + "\n")
		blank = ""
	}
	if open {
		b.WriteString("```\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// cells escapes text in a Markdown table.
var cells = strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")

// writePage writes a file.
func writePage(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
