package sinks

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Help describes the texts that Parse accepts, in a sentence or two.
func Help(kinds []*Kind) string {
	var extensions, urls []string
	for _, k := range kinds {
		extensions = append(extensions, k.Extensions...)
		urls = append(urls, k.Name+":"+k.Path)
	}
	help := "Files by extension (" + strings.Join(extensions, ", ") + ") or URLs (" + strings.Join(urls, ", ") + ")"
	if slices.ContainsFunc(kinds, func(k *Kind) bool { return slices.Contains(k.Schemes, "-") }) {
		help += "; - is standard output"
	}
	return help + "."
}

// forms lists the forms of texts that select the kind.
func (k *Kind) forms() (out []string) {
	for _, e := range k.Extensions {
		out = append(out, "FILE"+e)
	}
	for _, s := range append([]string{k.Name}, k.Schemes...) {
		if s == "-" {
			out = append(out, s)
			continue
		}
		out = append(out, s+":"+k.Path)
	}
	return out
}

// WriteReference writes the reference page of the sinks, as Markdown.
func WriteReference(w io.Writer, kinds []*Kind) error {
	var b strings.Builder
	b.WriteString(`# Sinks
A sink stores or displays classifications. This page is generated from the declarations of the sinks.

| sink | syntax | guarantee |
|---|---|---|
`)
	for _, k := range kinds {
		fmt.Fprintf(&b, "| [%s](#%s) | `%s` | %s |\n", k.Name, k.Name, strings.Join(k.forms(), "`, `"), k.Guarantee)
	}
	b.WriteString(`
Exactly once: one classification per volume and model in each file, table or topic, even after a crash or a second run. [Several workers](../how-to/operate-kafka.md#one-result-for-all-workers) that write to a file each may store one twice, in different files. At least once: duplicates are possible after a crash. Best effort: classifications may be missing.

## Name a sink
Specify a sink by a file name, whose extension selects the format, or by a URL. ` + "`--out` may be given several " +
		"times; in the configuration, `sinks.out` is a list." + `
` + "```" + `
voxelstream run scans/ --out results.jsonl --out 'kafka:results?policy=best-effort'
` + "```" + `
` + "```yaml" + `
sinks:
  out:
    - results.jsonl
    - "kafka:results?policy=best-effort"
` + "```" + `
- Every sink receives every classification. Each has its own queue and retries, so a slow or failing sink does not delay the others until its queue is full.
- Options follow a question mark: ` + "`results.jsonl?queue=64&attempts=0`" + `.
- ` + "`FILE`, `file:FILE` and `file:///FILE`" + ` refer to the same file. Only the form with slashes is percent-encoded: in it, write a question mark in a file name as ` + "`%3F`" + `.
- A secret, such as a password, can be read from a file (` + "`password-file=FILE`" + `) or an environment variable (` + "`password-env=NAME`" + `). Logs, errors and ` + "`config print`" + ` do not show secrets.

## Options of every sink
`)
	o, _ := blank(&Kind{}, Target{})
	optionTable(&b, &o.Delivery)
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n## %s\nSyntax: `%s`. Guarantee: %s.\n\n%s\n", k.Name, strings.Join(k.forms(), "`, `"),
			k.Guarantee, k.Doc)
		o, _ := blank(k, Target{})
		if o.options != nil || k.Flush != nil {
			b.WriteString("\n")
		}
		switch {
		case o.options != nil && k.Flush != nil:
			optionTable(&b, &allOptions{[]any{o.options, &o.Flush}})
		case o.options != nil:
			optionTable(&b, o.options)
		case k.Flush != nil:
			optionTable(&b, &o.Flush)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func optionTable(b *strings.Builder, options any) {
	b.WriteString("| option | default | meaning |\n|---|---|---|\n")
	for _, f := range option.Settings(options) {
		value := f.String()
		if value != "" {
			value = "`" + value + "`"
		}
		if f.InRange() != nil {
			value = "" // taken from elsewhere, as its meaning says
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", option.QueryName(f), value, strings.ReplaceAll(f.Doc+f.Hint(), "|", `\|`))
	}
}
