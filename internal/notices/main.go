// Notices writes THIRD_PARTY_NOTICES.md: what the binary is linked with on Linux, macOS and Windows, the licence of each
// part, and the texts of the licences. A part whose licence it does not recognize is an error: somebody must read it.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("notices: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: notices DIR, the root of the module")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(root string) error {
	parts, err := modules(filepath.Join(root, "cmd", "voxelstream"))
	if err != nil {
		return err
	}
	std, err := standardLibrary()
	if err != nil {
		return err
	}
	web, err := page(filepath.Join(root, "serve", "web"))
	if err != nil {
		return err
	}
	parts = append(append(parts, std), web...)
	parts = append(parts, systemLibraries...)
	var b bytes.Buffer
	write(&b, parts)
	return os.WriteFile(filepath.Join(root, "THIRD_PARTY_NOTICES.md"), b.Bytes(), 0o644)
}

// A part is something that the binary contains or is linked with.
type part struct {
	name, version string
	kind          kind
	licences      []string // SPDX identifiers
	texts         []string // of the licence files and notices
}

type kind int

const (
	module kind = iota
	script
	system
)

// systemLibraries are linked dynamically and come with the system, with their licences.
var systemLibraries = []part{
	{name: "HDF5", kind: system, licences: []string{"BSD-3-Clause"}},
	{name: "libdeflate", kind: system, licences: []string{"MIT"}},
	{name: "GNU C Library (on Linux)", kind: system, licences: []string{"LGPL-2.1-or-later"}},
}

// platforms are those whose parts the notices list.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"}

// modules returns the modules of which the command in dir contains packages.
func modules(dir string) ([]part, error) {
	type found struct{ Path, Version, Dir string }
	all := map[string]found{}
	for _, p := range platforms {
		system, arch, _ := strings.Cut(p, "/")
		cmd := exec.Command("go", "list", "-deps", "-json=Module", ".")
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=1", "GOFLAGS=")
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w", p, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var pkg struct {
				Module *struct {
					found
					Main bool
				}
			}
			if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if m := pkg.Module; m != nil && !m.Main {
				all[m.Path] = m.found
			}
		}
	}
	var parts []part
	for _, m := range all {
		p, err := read(m.Path, m.Version, m.Dir)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.name, b.name) })
	return parts, nil
}

func standardLibrary() (part, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return part{}, err
	}
	return read("Go standard library", "", strings.TrimSpace(string(out)))
}

// page returns the libraries of the web page. Its build has gathered their licences: see licences in vite.config.ts.
func page(dir string) ([]part, error) {
	data, err := os.ReadFile(filepath.Join(dir, "dist", "licences.json"))
	if err != nil {
		return nil, err
	}
	var list []struct{ Name, Version, Licence, Text string }
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	var parts []part
	for _, l := range list {
		parts = append(parts, part{l.Name, l.Version, script, []string{l.Licence}, []string{l.Text}})
	}
	return parts, nil
}

// licenceFile matches the names of files with licences and notices that must be passed on.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|unlicense)`)

// other are parts whose licence is not in such a file, or whose files hold more than applies to the binary.
var other = map[string][]string{
	"github.com/JohnCGriffin/overflow": {"README.md"}, // has its licence in the README
	"github.com/ajstarks/svgo":         {"LICENSE-link.txt", "LICENSE"},
	"github.com/golang/freetype":       {"licenses/ftl.txt"},                         // one of the two that LICENSE offers
	"modernc.org/memory":               {"LICENSE", "LICENSE-GO", "LICENSE-MMAP-GO"}, // without that of a logo
}

// read returns a part whose licences are in dir.
func read(name, version, dir string) (part, error) {
	p := part{name: name, version: version}
	files := other[name]
	if files == nil {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return p, err
		}
		for _, e := range entries {
			if licenceFile.MatchString(e.Name()) && !e.IsDir() {
				files = append(files, e.Name())
			}
		}
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			return p, err
		}
		text := strings.TrimSpace(strings.ReplaceAll(string(data), "\r\n", "\n"))
		p.licences = append(p.licences, identify(text)...)
		p.texts = append(p.texts, text)
	}
	slices.Sort(p.licences)
	p.licences = slices.Compact(p.licences)
	if len(p.licences) == 0 {
		return p, fmt.Errorf("%s: found no licence in %s that is known here: files %q", name, dir, files)
	}
	return p, nil
}

// phrases identify licences by sentences of their texts.
var phrases = []struct{ id, phrase string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"ISC", "distribute this software for any purpose with or without fee"},
	{"FTL", "the freetype project license"},
	{"OFL-1.1", "sil open font license version 1.1"},
	{"CC-BY-4.0", "creative commons attribution 4.0 international"},
	{"EPL-2.0", "eclipse public license - v 2.0"},
	{"Unlicense", "this is free and unencumbered software released into the public domain"},
}

var spaces = regexp.MustCompile(`[\s,]+`)

// identify returns the SPDX identifiers of the licences in a text.
func identify(text string) []string {
	plain := spaces.ReplaceAllString(strings.ToLower(text), " ")
	var found []string
	for _, p := range phrases {
		if strings.Contains(plain, spaces.ReplaceAllString(p.phrase, " ")) {
			found = append(found, p.id)
		}
	}
	if strings.Contains(plain, "redistribution and use in source and binary forms") {
		id := "BSD-2-Clause"
		if strings.Contains(plain, "endorse or promote products") {
			id = "BSD-3-Clause"
		}
		found = append(found, id)
	}
	return found
}

func write(w io.Writer, parts []part) {
	fmt.Fprint(w, `# Third-party notices

Voxelstream is licensed under the [Apache License 2.0](LICENSE). Its binary contains the modules and scripts below, and is
linked with the libraries of the system below. `+"`make generate`"+` writes this page.

| Part | Version | Licence |
|---|---|---|
`)
	headings := map[kind]string{
		script: "Scripts of the web page",
		system: "Libraries of the system, linked dynamically",
	}
	last := module
	for _, p := range parts {
		if p.kind != last {
			fmt.Fprintf(w, "| **%s** | | |\n", headings[p.kind])
			last = p.kind
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", p.name, p.version, strings.Join(p.licences, ", "))
	}
	fmt.Fprint(w, "\n## Texts\n")
	users := map[string][]string{}
	var texts []string
	for _, p := range parts {
		for _, t := range p.texts {
			if users[t] == nil {
				texts = append(texts, t)
			}
			users[t] = append(users[t], p.name)
		}
	}
	for _, t := range texts {
		fmt.Fprintf(w, "\n### %s\n\n~~~~~~text\n%s\n~~~~~~\n", strings.Join(users[t], ", "), t)
	}
}
