package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestForce checks that every command that writes a file leaves an existing one alone, and overwrites it with --force.
func TestForce(t *testing.T) {
	apptest.NeedHDF5(t)
	t.Chdir(t.TempDir())
	model, err := os.ReadFile(filepath.Join(testenv.Root(), "app", "models", "builtin", "digits.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var x bytes.Buffer
	if err := array.WriteFloat32(&x, []int{1, 16, 16, 16, 1}, make([]float32, 16*16*16)); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"c.xyz": []byte("0 0 0\n1 2 3\n"), "m.safetensors": model, "x.npy": x.Bytes(),
		"names.txt": []byte("0\n1\n2\n3\n4\n5\n6\n7\n8\nnine\n"),
	} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := run("generate", "--count", "24", "--test", "8", "--out", "d.h5"); code != exitDone {
		t.Fatal(out)
	}
	if out, code := run("reprocess", "d.h5", "--out", "results"); code != exitDone {
		t.Fatal(out)
	}
	const foreign = "somebody else's"
	tested := map[string]bool{}
	for _, line := range []string{
		"generate --count 2 --out OUT.h5",
		"convert c.xyz OUT.pcd",
		"voxelize c.xyz --out OUT.npy --grid 8",
		"inspect c.xyz --png OUT.png",
		"predict c.xyz --png OUT.png",
		"evaluate d.h5 --report OUT.json",
		"reprocess diff results results --out OUT.json",
		"train d.h5 --epochs 1 --out OUT.safetensors",
		"train d.h5 --epochs 1 --out m1.safetensors --history OUT.csv",
		"train d.h5 --epochs 1 --out m2.safetensors --plot OUT.png",
		"train d.h5 --epochs 1 --out m3.safetensors --best OUT.safetensors",
		"train d.h5 --epochs 1 --out m4.safetensors --checkpoint OUT.checkpoint",
		"model summary --svg OUT.svg",
		"model convert m.safetensors OUT.safetensors",
		"objects c.xyz --out OUT.csv",
		"objects c.xyz --out other.ply --out OUT.jsonl",
		"model predict m.safetensors --input x.npy --output OUT.npy",
		"model input m.safetensors --values palette --out OUT.safetensors",
		"model labels m.safetensors names.txt --out OUT.safetensors",
		"model average m.safetensors --views rotations --out OUT.safetensors",
		"model quantize m.safetensors d.h5 --precision bfloat16 --out OUT.safetensors",
	} {
		args := strings.Fields(line)
		i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "OUT") })
		name := strings.Join(args[:1], "")
		if args[0] == "model" || args[0] == "reprocess" {
			name = strings.Join(args[:2], " ")
		}
		tested[name] = true
		if err := os.WriteFile(args[i], []byte(foreign), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := run(args...); code != exitUsage {
			t.Errorf("%s: found exit code %d and %q, want %d", line, code, out, exitUsage)
		}
		if data, err := os.ReadFile(args[i]); err != nil || string(data) != foreign {
			t.Errorf("%s: the file was changed (%v)", line, err)
		}
		if out, code := run(append(args, "--force")...); code != exitDone {
			t.Errorf("%s --force: found exit code %d and %q", line, code, out)
		}
		if data, err := os.ReadFile(args[i]); err != nil || string(data) == foreign {
			t.Errorf("%s --force: the file was not written (%v)", line, err)
		}
		if err := os.Remove(args[i]); err != nil {
			t.Fatal(err)
		}
	}
	// A model file itself is only changed by force.
	for _, line := range []string{"model labels m.safetensors names.txt", "model input m.safetensors --values palette"} {
		if _, code := run(strings.Fields(line)...); code != exitUsage {
			t.Errorf("%s: found exit code %d, want %d", line, code, exitUsage)
		}
		if out, code := run(append(strings.Fields(line), "--force")...); code != exitDone {
			t.Errorf("%s --force: found exit code %d and %q", line, code, out)
		}
	}
	if out, code := run("model", "labels", "m.safetensors"); code != exitDone || !strings.Contains(out, "9\tnine\n") {
		t.Errorf("found exit code %d and %q, want the names that were set", code, out)
	}

	// Every other command that writes a file must be in the list above. Sinks and results of reprocess are continued.
	continued := []string{"run", "classify", "reprocess", "reprocess join", "ingest simulate", "docs"}
	outputs := []string{"out", "png", "svg", "report", "output", "history", "plot", "best", "checkpoint"}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "voxelstream ")
		writes := slices.ContainsFunc(outputs, func(f string) bool { return cmd.Flags().Lookup(f) != nil })
		if writes && !tested[name] && !slices.Contains(continued, name) {
			t.Errorf("%s writes a file, but is not tested here", name)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk((&cli{}).root())
}
