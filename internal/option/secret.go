package option

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// Suffixes of the names that give a secret in a query by reference: password-file=PATH and password-env=NAME.
const (
	fileEnding = "-file"
	envEnding  = "-env"
)

// maxSecret limits the size of a file with a secret in bytes.
const maxSecret = 64 << 10

// Secrets are secret settings of a query that are in files and in the environment.
type Secrets []secret

type secret struct {
	field Field
	// name is the name of the option in the query. where is the file or the environment variable.
	name, where string
}

// Read reads the values and stores them in the settings. Line breaks at the end of a file are ignored.
func (s Secrets) Read() error {
	var errs []error
	for _, x := range s {
		if err := x.read(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", x.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s secret) read() error {
	var text string
	if strings.HasSuffix(s.name, envEnding) {
		text = os.Getenv(s.where)
	} else {
		b, err := regular.ReadSetting(s.where, maxSecret)
		if err != nil {
			return err
		}
		text = strings.TrimRight(string(b), "\r\n")
	}
	if text == "" {
		return fmt.Errorf("%s is empty or not set", s.where)
	}
	return s.field.setSecret(text)
}

// setSecret is like Set, but its error does not show the value.
func (f Field) setSecret(text string) error {
	if f.Set(text) != nil {
		return fmt.Errorf("found an invalid value, %s", f.Allowed())
	}
	return nil
}
