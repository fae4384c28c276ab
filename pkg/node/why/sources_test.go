package why

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/kubelet"
)

const token = "secret-token-of-the-node"

// listing is a server of pods: it answers what authorized admits, and counts the tokens that
// it has seen.
type listing struct {
	*httptest.Server
	authorized func(*http.Request) bool
	tokens     int
}

func (l *listing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		l.tokens++
	}
	if !l.authorized(r) {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	fmt.Fprint(w, `{"kind":"PodList","items":[{"metadata":{"name":"p"}}]}`)
}

// serve starts a server, with TLS and client certificates if secure.
func serve(t *testing.T, secure bool, authorized func(*http.Request) bool) *listing {
	t.Helper()
	l := &listing{authorized: authorized}
	l.Server = httptest.NewUnstartedServer(l)
	l.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that clients end
	if secure {
		l.Server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		l.StartTLS()
	} else {
		l.Start()
	}
	t.Cleanup(l.Close)
	return l
}

func (l *listing) port(t *testing.T) int {
	t.Helper()
	u, err := url.Parse(l.URL)
	must(t, err)
	n, err := strconv.Atoi(u.Port())
	must(t, err)
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clientPEM returns a client certificate of a node with its key.
func clientPEM(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// kubeconfigOf writes a kubeconfig file for a server with its authority.
func kubeconfigOf(t *testing.T, server string, authority []byte, user string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "kubelet.conf"), `apiVersion: v1
kind: Config
current-context: c
contexts:
- {name: other, context: {cluster: none, user: none}}
- {name: c, context: {cluster: site, user: node}}
clusters:
- name: site
  cluster:
    server: `+server+`
    certificate-authority-data: `+base64.StdEncoding.EncodeToString(authority)+`
users:
- name: node
  user: `+user+"\n")
}

// first asks the sources in turn and returns the name of the first that answers, without
// paths, and the errors of those before it.
func first(t *testing.T, all []source) (string, []string) {
	t.Helper()
	var failed []string
	for _, s := range all {
		pods, err := s.pods(t.Context())
		if err == nil {
			if len(pods) != 1 || pods[0].Metadata.Name != "p" {
				t.Errorf("%s: pods %v", s, pods)
			}
			return s.String(), failed
		}
		failed = append(failed, fmt.Sprintf("%s: %v", s, err))
	}
	return "", failed
}

func anyone(*http.Request) bool { return true }

// TestSources asks servers with the accounts of a node: the read-only port first, client
// certificates at the kubelet's port, then the API server. A token goes to a server of the
// right authority only.
func TestSources(t *testing.T) {
	authority := func(l *listing) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Certificate().Raw})
	}
	open := serve(t, false, anyone)
	closed := serve(t, true, func(*http.Request) bool { return false })
	withCert := serve(t, true, func(r *http.Request) bool {
		return len(r.TLS.PeerCertificates) == 1 && r.TLS.PeerCertificates[0].Subject.CommonName == "system:node:n1"
	})
	api := serve(t, true, func(r *http.Request) bool {
		return r.URL.Path == "/api/v1/pods" && r.URL.Query().Get("fieldSelector") == "spec.nodeName=n1" &&
			(r.Header.Get("Authorization") == "Bearer "+token || len(r.TLS.PeerCertificates) == 1)
	})
	imposter := serve(t, true, anyone)
	cert, key := clientPEM(t, "system:node:n1")
	dir := t.TempDir()
	pair := write(t, filepath.Join(dir, "kubelet-client-current.pem"), string(cert)+string(key))
	certUser := fmt.Sprintf("{client-certificate: %s, client-key: %s}", pair, pair)
	relative := func(name string) string { return fmt.Sprintf("{tokenFile: %s}", name) }
	write(t, filepath.Join(dir, "token"), token+"\n")

	for _, row := range []struct {
		name   string
		k      kubelet.Kubelet
		config string
		want   string
	}{
		{"read-only port", kubelet.Kubelet{ReadOnlyPort: open.port(t), Port: withCert.port(t)}, kubeconfigOf(t, api.URL, authority(api), certUser), "the kubelet's read-only port"},
		{"client certificate", kubelet.Kubelet{Port: withCert.port(t)}, kubeconfigOf(t, api.URL, authority(api), certUser), "the kubelet's port"},
		{"client certificate refused", kubelet.Kubelet{Port: closed.port(t)}, kubeconfigOf(t, api.URL, authority(api), certUser), "the API server"},
		{"token", kubelet.Kubelet{Port: closed.port(t), NodeName: "n1"}, kubeconfigOf(t, api.URL, authority(api), "{token: "+token+"}"), "the API server"},
		{"file with a token", kubelet.Kubelet{NodeName: "n1"}, kubeconfigOf(t, api.URL, authority(api), relative(filepath.Join(dir, "token"))), "the API server"},
		{"server of another authority", kubelet.Kubelet{NodeName: "n1"}, kubeconfigOf(t, imposter.URL, cert, "{token: "+token+"}"), ""},
		{"server without TLS", kubelet.Kubelet{NodeName: "n1"}, kubeconfigOf(t, open.URL, nil, "{token: "+token+"}"), ""},
		{"no account", kubelet.Kubelet{Port: withCert.port(t)}, kubeconfigOf(t, api.URL, authority(api), "{}"), ""},
		{"account of a program", kubelet.Kubelet{Port: withCert.port(t)}, kubeconfigOf(t, api.URL, authority(api), "{exec: {command: /bin/false}}"), ""},
		{"no kubelet", kubelet.Kubelet{ReadOnlyPort: 1}, filepath.Join(dir, "missing"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, failed := first(t, sources(&row.k, accounts([]string{row.config}, nil)))
			if !strings.HasPrefix(got, row.want) || (got == "") != (row.want == "") {
				t.Errorf("from %q, want %q; failed: %q", got, row.want, failed)
			}
			if text := got + strings.Join(failed, ""); strings.Contains(text, token) {
				t.Errorf("the token is in %q", text)
			}
		})
	}
	if n := withCert.tokens + closed.tokens + imposter.tokens + open.tokens; n > 0 {
		t.Errorf("%d requests with a token to others than the API server", n)
	}
}

// TestKubeletClients reads the certificates with which an API server calls kubelets.
func TestKubeletClients(t *testing.T) {
	cert, key := clientPEM(t, "kube-apiserver-kubelet-client")
	dir := t.TempDir()
	files := [2]string{write(t, filepath.Join(dir, "c.crt"), string(cert)), write(t, filepath.Join(dir, "c.key"), string(key))}
	if got := accounts(nil, [][2]string{{"/nonexistent", "/nonexistent"}, files}); len(got) != 1 || got[0].certificate == nil || got[0].file != files[0] {
		t.Errorf("accounts %+v", got)
	}
}

// TestStaticPods reads manifests as a kubelet does.
func TestStaticPods(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "etcd.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec:\n  containers: [{name: etcd, image: 'etcd:1', imagePullPolicy: Never}]\n  volumes: [{name: v, image: {reference: 'v:1'}}]\n")
	write(t, filepath.Join(dir, "proxy.json"), `{"kind":"Pod","metadata":{"name":"proxy"},"spec":{"initContainers":[{"name":"i","image":"i:1"}],"containers":[{"name":"c","image":"c:1"}]}}`)
	write(t, filepath.Join(dir, "two.yaml"), "kind: Service\nmetadata: {name: no}\n---\nkind: Pod\nmetadata: {name: two}\n")
	write(t, filepath.Join(dir, ".hidden.yaml"), "kind: Pod\nmetadata: {name: hidden}\n")
	write(t, filepath.Join(dir, "broken.yaml"), "kind: Pod\n\tmetadata")
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	pods, err := staticPods(dir).pods(context.Background())
	if err == nil || !strings.Contains(err.Error(), "broken.yaml") {
		t.Errorf("error %v, want one about broken.yaml", err)
	}
	var got []string
	for _, p := range pods {
		for _, w := range append(p.waits(), wait{}) {
			got = append(got, strings.TrimSpace(p.Metadata.Name+" "+w.Container+" "+w.image+" "+w.Policy))
		}
	}
	want := []string{"etcd etcd etcd:1 Never", "etcd volume v v:1 IfNotPresent", "etcd", "proxy i i:1 IfNotPresent", "proxy", "two"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("pods (-want +got):\n%s", d)
	}
}
