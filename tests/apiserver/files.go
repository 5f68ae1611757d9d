package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
)

// The two users. A token is no secret here: it opens this cluster only.
const (
	adminToken = "admin-token"
	guestToken = "guest-token"
	tokens     = adminToken + ",admin,1,system:masters\n" + guestToken + ",guest,2\n"
)

// server is the address every client uses. No client can resolve it, so that
// one that does not go through a proxy gets nowhere.
const server = "https://kubernetes.default.svc:443"

// files are the paths of what writeFiles wrote.
type files struct {
	ca                   string
	caKey                string
	servingCert          string
	servingKey           string
	clientCert           string // the API server's own, for its kubelets
	clientKey            string
	tokens               string
	kubeconfig           string
	egressConfig         string
	egressSocket         string
	serviceAccountKey    string
	containerScratchRoot string
}

// writeFiles writes into dir all that must outlive a restart, unless it is
// there already.
func writeFiles(dir string) (files, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	f := files{
		ca:                   in("ca.crt"),
		caKey:                in("ca.key"),
		servingCert:          in("serving.crt"),
		servingKey:           in("serving.key"),
		clientCert:           in("client.crt"),
		clientKey:            in("client.key"),
		tokens:               in("tokens.csv"),
		kubeconfig:           in("kubeconfig.json"),
		egressConfig:         in("egress.json"),
		egressSocket:         in("egress.sock"),
		serviceAccountKey:    in("serving.key"),
		containerScratchRoot: in("container"),
	}
	if err := os.MkdirAll(f.containerScratchRoot, 0o700); err != nil {
		return f, err
	}
	if _, err := os.Stat(f.kubeconfig); !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := writeCertificates(f); err != nil {
		return f, err
	}
	if err := os.WriteFile(f.tokens, []byte(tokens), 0o600); err != nil {
		return f, err
	}
	return f, writeKubeconfig(f)
}

func writeCertificates(f files) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := template("test-ca")
	ca.IsCA = true
	ca.BasicConstraintsValid = true
	ca.KeyUsage = x509.KeyUsageCertSign
	if err := writeCertificate(f.ca, ca, ca, caKey, caKey); err != nil {
		return err
	}
	if err := writeKey(f.caKey, caKey); err != nil {
		return err
	}

	serving := template("kubernetes")
	serving.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serving.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	serving.DNSNames = []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	if err := issue(f.servingCert, f.servingKey, serving, ca, caKey); err != nil {
		return err
	}

	client := template("kube-apiserver-kubelet-client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return issue(f.clientCert, f.clientKey, client, ca, caKey)
}

func template(commonName string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// issue writes a new key and the certificate that ca gives it.
func issue(certPath, keyPath string, cert, ca *x509.Certificate, caKey crypto.Signer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeKey(keyPath, key); err != nil {
		return err
	}
	return writeCertificate(certPath, cert, ca, key, caKey)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der)
}

func writeCertificate(path string, cert, ca *x509.Certificate, key, caKey crypto.Signer) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	return writePEM(path, "CERTIFICATE", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// writeKubeconfig writes JSON, which is YAML too: a test only has to add the
// proxy-url.
func writeKubeconfig(f files) error {
	ca, err := os.ReadFile(f.ca)
	if err != nil {
		return err
	}
	config := clientcmd.Config{
		APIVersion:     "v1",
		Kind:           "Config",
		CurrentContext: "admin",
		Clusters: []clientcmd.NamedCluster{{
			Name:    "test",
			Cluster: clientcmd.Cluster{Server: server, CertificateAuthorityData: ca},
		}},
	}
	for user, token := range map[string]string{"admin": adminToken, "guest": guestToken} {
		config.AuthInfos = append(config.AuthInfos, clientcmd.NamedAuthInfo{
			Name:     user,
			AuthInfo: clientcmd.AuthInfo{Token: token},
		})
		config.Contexts = append(config.Contexts, clientcmd.NamedContext{
			Name:    user,
			Context: clientcmd.Context{Cluster: "test", AuthInfo: user, Namespace: "default"},
		})
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(f.kubeconfig, text, 0o600)
}
