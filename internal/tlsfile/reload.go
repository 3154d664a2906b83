package tlsfile

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
)

// Files are TLS settings whose files are read again for each connection, so that renewed certificates are used without
// a restart. While the files cannot be used, for example because one is half written, the last good ones stay in use.
// It is safe for concurrent use.
type Files struct {
	o Options

	mu      sync.Mutex
	content [3][]byte // of the files that config was made from
	config  *tls.Config
	refused string // the error that was logged last
}

// Open reads the files. The error names the option and the file.
func (o *Options) Open() (*Files, error) {
	content, err := o.read()
	if err != nil {
		return nil, err
	}
	c, err := o.config(content)
	if err != nil {
		return nil, err
	}
	return &Files{o: *o, content: content, config: c}, nil
}

// Config returns the settings of the current files. It must not be modified. If the files have changed but cannot be
// used, the error is logged once, and the previous settings are returned.
func (f *Files) Config(log *slog.Logger) *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, err := f.o.read()
	if err == nil && same(content, f.content) {
		f.refused = ""
		return f.config
	}
	var c *tls.Config
	if err == nil {
		c, err = f.o.config(content)
	}
	if err != nil {
		if f.refused != err.Error() {
			f.refused = err.Error()
			log.Warn("cannot use changed TLS files; the previous ones stay in use", "error", err)
		}
		return f.config
	}
	f.content, f.config, f.refused = content, c, ""
	log.Info("TLS files reloaded", "ca_file", f.o.CAFile, "cert_file", f.o.CertFile, "key_file", f.o.KeyFile)
	return c
}

// Server returns the settings of a server that uses the certificate of the current files for each connection.
func (f *Files) Server(log *slog.Logger) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := f.Config(log)
			if len(c.Certificates) == 0 {
				return nil, fmt.Errorf("cert_file: no certificate")
			}
			return &c.Certificates[0], nil
		},
	}
}

func same(a, b [3][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Secret is a password or token, given as a text or as a file that is read again at each use. While the file cannot be
// used, the last good text stays in use. It is safe for concurrent use. No format verb shows it.
type Secret struct {
	file string

	mu      sync.Mutex
	text    string
	refused string // the error that was logged last
}

// NewSecret returns a secret. If file is set, the text is read from it, without white space at its end.
func NewSecret(text, file string) (*Secret, error) {
	s := &Secret{text: text, file: file}
	if file == "" {
		return s, nil
	}
	var err error
	s.text, err = s.read()
	return s, err
}

func (s *Secret) read() (string, error) {
	content, err := Read(s.file)
	if err != nil {
		return "", err
	}
	text := string(bytes.TrimRight(content, "\r\n"))
	if text == "" {
		return "", fmt.Errorf("%s: found an empty file", s.file)
	}
	return text, nil
}

// Get returns the text. If the file has changed but cannot be used, the error is logged once and the previous text is
// returned.
func (s *Secret) Get(log *slog.Logger) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" {
		return s.text
	}
	text, err := s.read()
	switch {
	case err == nil:
		s.text, s.refused = text, ""
	case s.refused != err.Error():
		s.refused = err.Error()
		log.Warn("cannot use a changed secret; the previous one stays in use", "error", err)
	}
	return s.text
}

// String hides the text.
func (s *Secret) String() string { return "(secret)" }

// GoString hides the text.
func (s *Secret) GoString() string { return s.String() }

// MarshalJSON hides the text.
func (s *Secret) MarshalJSON() ([]byte, error) { return []byte(`"(secret)"`), nil }
