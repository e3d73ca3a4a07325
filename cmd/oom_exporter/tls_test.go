// SPDX-License-Identifier: Apache-2.0

package main

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
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// secured writes a web configuration with a certificate of its own and one
// user.
func secured(t *testing.T) (config string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "exporter"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{
		"cert.pem": cert,
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
		"web.yml":  []byte("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prom: " + string(hash) + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return filepath.Join(dir, "web.yml"), roots
}

func TestTLSAndBasicAuth(t *testing.T) {
	config, roots := secured(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	root := unpack(t, "testdata/hosts/docker-hybrid.txtar")
	probe := func(base string) (*http.Response, error) {
		return client.Get(strings.Replace(base, "http:", "https:", 1) + "/metrics")
	}
	e := startUntil(t, func(base string) bool {
		resp, err := probe(base)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}, onTree(root, "--web.config.file="+config)...)
	get := func(path, user, password string) int {
		req, err := http.NewRequest(http.MethodGet, strings.Replace(e.url, "http:", "https:", 1)+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, path := range []string{"/metrics", "/", "/kills", "/workloads", "/page.css"} {
		if got := get(path, "", ""); got != http.StatusUnauthorized {
			t.Errorf("%s without a user: %d", path, got)
		}
		if got := get(path, "prom", "wrong"); got != http.StatusUnauthorized {
			t.Errorf("%s with a wrong password: %d", path, got)
		}
		if got := get(path, "prom", "secret"); got != http.StatusOK {
			t.Errorf("%s with the right password: %d", path, got)
		}
	}
}
