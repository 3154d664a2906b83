package option

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Endings of the names under which a query may give a secret setting without holding it: password-file=PATH and
// password-env=NAME.
const (
	fileEnding = "-file"
	envEnding  = "-env"
)

// maxSecret bounds a file that holds a secret, in bytes.
const maxSecret = 64 << 10

// Secrets are the values that a query leaves in files and in the environment.
type Secrets []secret

type secret struct {
	field Field
	// name is the option in the query, where the file or the variable.
	name, where string
}

// Read reads the values and stores them in the settings. A file holds the value as its text, of which line ends at
// the end are no part.
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
		f, err := os.Open(s.where)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // opened for reading
		b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return err
		}
		if len(b) > maxSecret {
			return fmt.Errorf("%s: found more than %d bytes, the limit of a secret", s.where, maxSecret)
		}
		text = strings.TrimRight(string(b), "\r\n")
	}
	if text == "" {
		return fmt.Errorf("%s is empty or not set", s.where)
	}
	return s.field.setSecret(text)
}

// setSecret is Set, with errors that do not show the value.
func (f Field) setSecret(text string) error {
	if f.Set(text) != nil {
		return fmt.Errorf("found an invalid value, %s", f.Allowed())
	}
	return nil
}
