package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"
)

// Longer than a cluster of tests lives.
const certificateLife = 30 * 24 * time.Hour

// pair is a certificate with its key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes a certificate authority.
func newAuthority() (pair, error) {
	return sign(pair{}, x509.Certificate{
		Subject:               pkix.Name{CommonName: "weir-tests"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	})
}

// server makes the API server's certificate, for each way to reach it.
func (authority pair) server() (pair, error) {
	return sign(authority, x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.ParseIP(serviceAddress)},
	})
}

// admin makes the certificate of a client that may do anything.
func (authority pair) admin() (pair, error) {
	return sign(authority, x509.Certificate{
		Subject:     pkix.Name{CommonName: "weir-tests-admin", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// sign makes a key, and a certificate for it that authority signs, or itself if there is none.
func sign(authority pair, template x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return pair{}, err
	}
	// A little before now, as clocks of clients may differ.
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = template.NotBefore.Add(certificateLife)
	parent := authority
	if parent.key == nil {
		parent = pair{&template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent.certificate, key.Public(), parent.key)
	if err != nil {
		return pair{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return pair{certificate, key}, err
}

// certificatePEM is the certificate as text.
func (p pair) certificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw})
}

// keyPEM is the key as text.
func (p pair) keyPEM() ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(p.key)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

// write writes NAME.crt and NAME.key, where name is a path.
func (p pair) write(name string) error {
	key, err := p.keyPEM()
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".crt", p.certificatePEM(), 0o600); err != nil {
		return err
	}
	return os.WriteFile(name+".key", key, 0o600)
}
