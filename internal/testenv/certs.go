package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for a test.
type Authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// File has its own certificate in PEM.
	File string
}

// NewAuthority makes an authority that nobody knows.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, cert: template(tb, "authority")}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	a.File, _ = a.sign(a.cert)
	return a
}

// template is a certificate that is valid for an hour.
func template(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

// sign makes a certificate and its key. The first one is the authority's own.
func (a *Authority) sign(cert *x509.Certificate) (certFile, keyFile string) {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	if a.key == nil {
		a.key = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	dir := a.tb.TempDir()
	return a.write(dir, "cert.pem", "CERTIFICATE", der), a.write(dir, "key.pem", "PRIVATE KEY", private)
}

func (a *Authority) write(dir, name, kind string, der []byte) string {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.tb.Fatal(err)
	}
	return path
}

// Issue makes a certificate of a name and of 127.0.0.1, for servers and clients, and its key: files in PEM.
func (a *Authority) Issue(name string) (certFile, keyFile string) {
	a.tb.Helper()
	cert := template(a.tb, name)
	cert.DNSNames, cert.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1)}
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return a.sign(cert)
}

// Server is the TLS configuration of a server of that name.
func (a *Authority) Server(name string) *tls.Config {
	a.tb.Helper()
	pair, err := tls.LoadX509KeyPair(a.Issue(name))
	if err != nil {
		a.tb.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}
