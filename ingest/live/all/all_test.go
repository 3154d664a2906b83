package all

import (
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/option"
)

// TestKinds wants every kind documented, told from the others by its address, and opened by its own example but for
// the files it names.
func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		if k.Name == "" || k.Form == "" || !strings.HasSuffix(k.Doc, ".") || k.New == nil {
			t.Errorf("%+v: found no name, form, documentation or New", k)
		}
		matched := 0
		for _, other := range Kinds() {
			if other.Match(k.Example) {
				matched++
			}
		}
		if !k.Match(k.Example) || matched != 1 {
			t.Errorf("%s: found %d kinds that match %s, want this one", k.Name, matched, k.Example)
		}
		if _, problems := k.Parse(k.Example); len(problems) > 0 && !strings.Contains(problems[0].Error(), "no such file") {
			t.Errorf("%s: found %v", k.Example, problems)
		}
		if k.Options == nil {
			continue
		}
		for _, f := range option.Settings(k.Options()) {
			if !strings.HasSuffix(f.Doc, ".") {
				t.Errorf("%s: found no sentence about the option %s", k.Name, f.Path)
			}
		}
	}
}
