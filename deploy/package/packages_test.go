// Package packages tests the files that scripts/package writes.
package packages

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packages returns the path of the one file of the release with this suffix.
func packages(t *testing.T, suffix string) string {
	t.Helper()
	dist := os.Getenv("VOXELSTREAM_DIST")
	if dist == "" {
		t.Skip("the packages are tested by make package-check")
	}
	found, err := filepath.Glob(filepath.Join(dist, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Fatalf("found %q, want one file *%s in %s", found, suffix, dist)
	}
	return found[0]
}

// tool returns the path of a program, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is missing; scripts/deploy-tools installs it", name)
	}
	return path
}

// output runs a program and returns what it prints.
func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	// The program refuses variables that it does not know.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "VOXELSTREAM_") })
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", filepath.Base(program), args, err, out, errors.Bytes())
	}
	return string(out)
}

func digest(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// unpacked extracts the archive and returns its folder.
func unpacked(t *testing.T) string {
	t.Helper()
	archive := packages(t, "-linux-*.tar.gz")
	dir := t.TempDir()
	output(t, dir, "tar", "-xzf", archive)
	return filepath.Join(dir, strings.TrimSuffix(filepath.Base(archive), ".tar.gz"))
}

var fourRows = regexp.MustCompile(`(?m)^ *rows +4$`)

// works tests a program that was installed: it needs no library that packages do not declare, says which build it is,
// and reads and writes HDF5.
func works(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		if !slices.Contains([]string{"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, l) {
			t.Errorf("the program needs %s, which the packages do not depend on", l)
		}
	}
	dir := t.TempDir()
	var build struct{ Version, Commit, HDF5 string }
	if err := json.Unmarshal([]byte(output(t, dir, program, "version", "--json")), &build); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(packages(t, "-source.tar.gz"), "voxelstream-"+build.Version+"-source") {
		t.Errorf("version shows %s, which the files of the release do not have", build.Version)
	}
	head := strings.TrimSpace(output(t, "../..", "git", "rev-parse", "HEAD"))
	if build.Commit == "" || !strings.HasPrefix(head, build.Commit) {
		t.Errorf("commit %s, want %s", build.Commit, head)
	}
	if build.HDF5 == "" {
		t.Error("built without HDF5")
	}
	output(t, dir, program, "generate", "--count", "4", "--quiet", "--out", "digits.h5")
	if got := output(t, dir, program, "inspect", "digits.h5"); !fourRows.MatchString(got) {
		t.Errorf("inspect of four digits: %s", got)
	}
}

func TestPackageChecksums(t *testing.T) {
	sums, err := os.ReadFile(packages(t, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	dist := os.Getenv("VOXELSTREAM_DIST")
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "SHA256SUMS" {
			continue
		}
		line := digest(t, filepath.Join(dist, e.Name())) + "  " + e.Name() + "\n"
		if !strings.Contains(string(sums), line) {
			t.Errorf("SHA256SUMS lacks %s", line)
		}
	}
}

func TestPackageArchive(t *testing.T) {
	root := unpacked(t)
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "config.yaml"} {
		if digest(t, filepath.Join(root, name)) != digest(t, filepath.Join("../..", name)) {
			t.Errorf("%s is not that of the checkout", name)
		}
	}
	notices, err := os.ReadFile(filepath.Join(root, "THIRD_PARTY_NOTICES.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range []string{"## libhdf5\n", "## libaec\n", "## libdeflate\n", "## zlib1g\n"} {
		if !strings.Contains(string(notices), library) {
			t.Errorf("THIRD_PARTY_NOTICES.md has no section %q", library)
		}
	}
	program := filepath.Join(root, "voxelstream")
	works(t, program)
	output(t, root, program, "config", "lint", "--config", "config.yaml")

	bash := `source completions/voxelstream.bash && complete -p voxelstream`
	if got := output(t, root, "bash", "--norc", "-c", bash); !strings.Contains(got, "voxelstream") {
		t.Errorf("the completion of bash: %s", got)
	}
	for name, want := range map[string]string{
		"completions/_voxelstream": "#compdef voxelstream\n", "completions/voxelstream.fish": "complete -c voxelstream ",
		"man/man1/voxelstream.1": "voxelstream-run(1)", "man/man1/voxelstream-model-bench.1": "--batch",
	} {
		text, err := os.ReadFile(filepath.Join(root, name))
		// Pages write hyphens as \-.
		if err != nil || !strings.Contains(strings.ReplaceAll(string(text), `\-`, "-"), want) {
			t.Errorf("%s: %v, or no %q in it", name, err, want)
		}
	}
}

// TestPackageDeb installs the package with dpkg into an empty root, runs the program and removes the package.
func TestPackageDeb(t *testing.T) {
	deb := packages(t, ".deb")
	dpkg := tool(t, "dpkg")
	fields := output(t, "", "dpkg-deb", "--field", deb, "Package", "Architecture", "Depends")
	if !strings.Contains(fields, "Package: voxelstream\n") || !strings.Contains(fields, "Depends: libc6 (>= 2.") {
		t.Errorf("fields:\n%s", fields)
	}
	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The root has neither a C library nor a shell; the scripts of the package run outside of it.
	force := []string{"--root=" + root, "--force-depends", "--force-script-chrootless", "--force-not-root", "--log=/dev/null"}
	output(t, "", dpkg, append(force, "--install", deb)...)
	program := filepath.Join(root, "usr/bin/voxelstream")
	works(t, program)
	if digest(t, program) != digest(t, filepath.Join(unpacked(t), "voxelstream")) {
		t.Error("the archive has another program")
	}
	installed := []string{
		"usr/share/man/man1/voxelstream.1.gz", "usr/share/bash-completion/completions/voxelstream",
		"usr/share/zsh/vendor-completions/_voxelstream", "usr/share/fish/vendor_completions.d/voxelstream.fish",
		"usr/share/doc/voxelstream/copyright", "usr/share/doc/voxelstream/THIRD_PARTY_NOTICES.md",
		"usr/lib/systemd/system/voxelstream-classify@.service", "usr/lib/systemd/system/voxelstream-ingest.service",
	}
	for _, name := range installed {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/voxelstream-ingest.service"))
	if err != nil || !bytes.Contains(unit, []byte("\nExecStart=/usr/bin/voxelstream ingest ")) {
		t.Errorf("the unit of ingest does not start the installed program: %v", err)
	}
	output(t, "", dpkg, append(force, "--remove", "voxelstream")...)
	if _, err := os.Stat(program); !os.IsNotExist(err) {
		t.Errorf("the program is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/voxelstream/config.yaml")); err != nil {
		t.Errorf("the settings were removed: %v", err)
	}
}

// TestPackageRPM reads the metadata of the package. The digest of the program shows that it is the one that was run.
func TestPackageRPM(t *testing.T) {
	path := packages(t, ".rpm")
	rpm := tool(t, "rpm")
	output(t, "", rpm, "--checksig", "--nosignature", path)
	query := func(args ...string) string {
		return output(t, "", rpm, slices.Concat([]string{"--query", "--package", "--nosignature"}, args, []string{path})...)
	}
	if got, want := query("--queryformat", "%{NAME} %{LICENSE} %{BUILDHOST}"), "voxelstream Apache-2.0 localhost"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := query("--requires"); !strings.Contains(got, "glibc >= 2.") || strings.Contains(got, "hdf5") {
		t.Errorf("requires %q", got)
	}
	if got := query("--configfiles"); got != "/etc/voxelstream/config.yaml\n" {
		t.Errorf("configuration %q", got)
	}
	files := query("--queryformat", "[%{FILENAMES} %{FILEDIGESTS}\n]")
	program := "/usr/bin/voxelstream " + digest(t, filepath.Join(unpacked(t), "voxelstream"))
	for _, want := range []string{
		program, "/usr/share/man/man1/voxelstream.1.gz ", "/usr/share/bash-completion/completions/voxelstream ",
		"/usr/share/zsh/site-functions/_voxelstream ", "/usr/share/fish/vendor_completions.d/voxelstream.fish ",
		"/usr/share/licenses/voxelstream/LICENSE ", "/usr/lib/systemd/system/voxelstream-classify@.service ",
	} {
		if !strings.Contains(files, want) {
			t.Errorf("lacks %s", want)
		}
	}
}

// TestPackageFormula: the formula of Homebrew names the source archive beside it. Homebrew itself is not needed.
func TestPackageFormula(t *testing.T) {
	formula, err := os.ReadFile(packages(t, "voxelstream.rb"))
	if err != nil {
		t.Fatal(err)
	}
	source := packages(t, "-source.tar.gz")
	for _, want := range []string{"/" + filepath.Base(source) + `"`, `sha256 "` + digest(t, source) + `"`} {
		if !strings.Contains(string(formula), want) {
			t.Errorf("the formula lacks %s", want)
		}
	}
	if strings.ContainsRune(string(formula), '@') {
		t.Error("the formula has places that are not filled in")
	}
	if !strings.Contains(output(t, "", "tar", "-tzf", source), "/cmd/voxelstream/main.go\n") {
		t.Error("the source archive has no program")
	}
	if ruby, err := exec.LookPath("ruby"); err == nil {
		output(t, "", ruby, "-c", packages(t, "voxelstream.rb"))
	}
}
