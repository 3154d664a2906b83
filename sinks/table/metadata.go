package table

import (
	"fmt"
	"strconv"

	"github.com/voxelstream/voxelstream/record"
)

// Keys of the metadata of a file.
const (
	// KeyKind has the value KindClassifications.
	KeyKind = "voxelstream.kind"
	// KeyVersion has the version of the schema of classifications, see [record.SchemaVersion].
	KeyVersion          = "voxelstream.schema_version"
	KindClassifications = "classifications"
)

// Metadata returns the keys of the metadata of a new file, and their values.
func Metadata() (keys, values []string) {
	return []string{KeyKind, KeyVersion}, []string{KindClassifications, strconv.Itoa(record.SchemaVersion)}
}

// CheckMetadata returns the version of the schema of a file. It returns an error if the file does not hold
// classifications, or if a newer release has made it, because a sink that continues it would drop columns. of returns
// the value of a key, or an empty text.
func CheckMetadata(of func(key string) string) (version int, err error) {
	if kind := of(KeyKind); kind != KindClassifications {
		return 0, fmt.Errorf("metadata %s: found %.40q, want %q: the file was not made by this program", KeyKind, kind,
			KindClassifications)
	}
	version, err = strconv.Atoi(of(KeyVersion))
	if err != nil {
		return 0, fmt.Errorf("metadata %s: found %.40q, want a number", KeyVersion, of(KeyVersion))
	}
	if version > record.SchemaVersion {
		return 0, fmt.Errorf("metadata %s: found %d, want at most %d: a newer release of Voxelstream has made the file",
			KeyVersion, version, record.SchemaVersion)
	}
	return version, nil
}
