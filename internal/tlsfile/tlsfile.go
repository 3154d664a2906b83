// Package tlsfile reads the certificates for TLS connections from files.
package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// Options are the files of a client, in PEM.
type Options struct {
	CAFile   string `yaml:"ca_file" doc:"PEM file with the CA certificates that the server's certificate is verified against. Default: those of the system."`
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

// Load reads the files. The error names the option and the file.
func (o *Options) Load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		text, err := Read(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file: %s: found no certificate in PEM", o.CAFile)
		}
	}
	if o.CertFile == "" {
		return c, nil
	}
	cert, err := Read(o.CertFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file: %w", err)
	}
	key, err := Read(o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert_file %s with key_file %s: %w", o.CertFile, o.KeyFile, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// maxSize limits the size of a file in bytes.
const maxSize = 1 << 20

// Read reads a file of certificates or secrets, which must not be larger than 1 MiB.
func Read(path string) ([]byte, error) { return regular.ReadSetting(path, maxSize) }
