package augment

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
)

// WriteReference writes the Markdown reference page of augmentations.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Augmentations\n\n" +
		"Generated from the declarations of the augmentations. `train --augment` or `train.augment` selects them:\n\n" +
		"```\nvoxelstream train clouds.h5 --augment 'rotate:axis=x,degrees=15;jitter:sigma=0.01;mixup' --out m.keras\n```\n\n" +
		"They are applied to each training row in each epoch, in the given order. Commas and semicolons both separate " +
		"augmentations and options.\nAugmentations of points are applied before voxelization. " +
		"[Augment training data](../how-to/augment.md) explains what to choose.\n\n" +
		"| augmentation | points | voxel grids | description |\n|---|---|---|---|\n")
	for _, k := range Kinds() {
		can := map[Data]string{}
		for _, d := range Of(k.Options()) {
			can[d] = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, can[Points], can[Grids], k.Doc)
	}
	b.WriteString("\n## Options\nAll augmentations have the option `probability`.\n\n" +
		"| augmentation | option | default | meaning |\n|---|---|---|---|\n")
	for _, k := range Kinds() {
		for _, f := range option.Settings(k.Options()) {
			if f.Path == "probability" && f.String() == "1" {
				continue
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | `%s` | %s |\n", k.Name, f.Path, f.String(), f.Doc+f.Hint())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
