// Package tlsfile reads the certificates for TLS connections from files.
package tlsfile

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// Options are the files of a client, in PEM.
type Options struct {
	CAFile   string `yaml:"ca_file" doc:"PEM file with the CA certificates used to verify the server. Default: those of the system."`
	CertFile string `yaml:"cert_file" doc:"PEM file with the client certificate, for servers that require one."`
	KeyFile  string `yaml:"key_file" doc:"PEM file with the unencrypted private key of the client certificate."`
}

// Validate checks that certificate and key are given together. It reads no files.
func (o *Options) Validate() error {
	if (o.CertFile == "") != (o.KeyFile == "") {
		return fmt.Errorf("cert_file, key_file: found %q and %q, want both or none", o.CertFile, o.KeyFile)
	}
	return nil
}

// Load reads the files once. The error names the option and the file.
func (o *Options) Load() (*tls.Config, error) {
	content, err := o.read()
	if err != nil {
		return nil, err
	}
	return o.config(content)
}

// read returns the contents of the files: CA, certificate, key.
func (o *Options) read() (content [3][]byte, err error) {
	for i, f := range []struct{ option, path string }{
		{"ca_file", o.CAFile}, {"cert_file", o.CertFile}, {"key_file", o.KeyFile},
	} {
		if f.path == "" {
			continue
		}
		if content[i], err = Read(f.path); err != nil {
			return content, fmt.Errorf("%s: %w", f.option, err)
		}
	}
	return content, nil
}

// config makes the settings from the contents of the files.
func (o *Options) config(content [3][]byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		if err := whole(content[0]); err != nil {
			return nil, fmt.Errorf("ca_file: %s: %w", o.CAFile, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(content[0]) {
			return nil, fmt.Errorf("ca_file: %s: found no certificate in PEM", o.CAFile)
		}
	}
	if o.CertFile == "" {
		return c, nil
	}
	if err := whole(content[1]); err != nil {
		return nil, fmt.Errorf("cert_file: %s: %w", o.CertFile, err)
	}
	pair, err := tls.X509KeyPair(content[1], content[2])
	if err != nil {
		return nil, fmt.Errorf("cert_file %s with key_file %s: %w", o.CertFile, o.KeyFile, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// whole returns an error for PEM blocks that are incomplete or damaged, which the PEM decoder silently skips.
func whole(text []byte) error {
	begun := bytes.Count(text, []byte("-----BEGIN "))
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		begun--
	}
	if begun > 0 {
		return errors.New("found a PEM block that is incomplete or damaged")
	}
	return nil
}

// maxSize limits the size of a file in bytes.
const maxSize = 1 << 20

// Read reads a file of certificates or secrets, which must not be larger than 1 MiB.
func Read(path string) ([]byte, error) { return regular.ReadSetting(path, maxSize) }
