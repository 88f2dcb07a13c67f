package main

import (
	"crypto/x509"
	"testing"
)

func TestPodsAndTestsCanVerifyTheServer(t *testing.T) {
	authority, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.server()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority.certificatePEM()) {
		t.Fatal("the authority's text holds no certificate")
	}
	for _, name := range []string{"127.0.0.1", serviceAddress, "kubernetes.default.svc"} {
		if _, err := server.certificate.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
