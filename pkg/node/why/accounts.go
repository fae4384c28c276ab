package why

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"stowage/internal/kubelet"
	"stowage/internal/redact"
)

// account is an account of the cluster that is stored on this node. It is used and never
// printed; only its file is named.
type account struct {
	file        string
	certificate *tls.Certificate // nil: a token only
	token       redact.Value
	server      string // of the API server; empty: unknown
	authority   []byte // PEM of the API server's authority
	insecure    bool   // the kubeconfig says not to verify the API server
}

// kubeconfigs are the places of accounts that may list pods: the kubelet's own (its API
// server lets it read the pods of its node) and those of administrators, of kubeadm, k3s,
// RKE2, k0s and microk8s.
var kubeconfigs = []string{
	"/etc/kubernetes/kubelet.conf",
	"/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
	"/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
	"/var/lib/k0s/kubelet.conf",
	"/var/snap/microk8s/current/credentials/kubelet.config",
	"/etc/kubernetes/admin.conf",
	"/etc/rancher/k3s/k3s.yaml",
	"/etc/rancher/rke2/rke2.yaml",
	"/var/lib/k0s/pki/admin.conf",
	"/var/snap/microk8s/current/credentials/client.config",
}

// kubeletClients are the certificates with which API servers call kubelets, on nodes of the
// control plane: the certificate and the key.
var kubeletClients = [][2]string{
	{"/etc/kubernetes/pki/apiserver-kubelet-client.crt", "/etc/kubernetes/pki/apiserver-kubelet-client.key"},
	{"/var/lib/rancher/k3s/server/tls/client-kube-apiserver.crt", "/var/lib/rancher/k3s/server/tls/client-kube-apiserver.key"},
	{"/var/lib/rancher/rke2/server/tls/client-kube-apiserver.crt", "/var/lib/rancher/rke2/server/tls/client-kube-apiserver.key"},
	{"/var/lib/k0s/pki/apiserver-kubelet-client.crt", "/var/lib/k0s/pki/apiserver-kubelet-client.key"},
}

// accounts returns the accounts that files of this node have. Missing and unusable files are
// no accounts.
func accounts(configs []string, clients [][2]string) []account {
	var all []account
	for _, c := range clients {
		if cert, err := tls.LoadX509KeyPair(c[0], c[1]); err == nil {
			all = append(all, account{file: c[0], certificate: &cert})
		}
	}
	for _, file := range configs {
		if a, ok := readKubeconfig(file); ok {
			all = append(all, a)
		}
	}
	return all
}

// kubeconfig is the part of a kubeconfig file that holds an account. Accounts that a program
// makes (exec) are not used.
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Contexts       []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster string `yaml:"cluster"`
			User    string `yaml:"user"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Clusters []kubeconfigCluster `yaml:"clusters"`
	Users    []kubeconfigUser    `yaml:"users"`
}

type kubeconfigCluster struct {
	Name    string `yaml:"name"`
	Cluster struct {
		Server   string `yaml:"server"`
		CA       string `yaml:"certificate-authority"`
		CAData   string `yaml:"certificate-authority-data"`
		Insecure bool   `yaml:"insecure-skip-tls-verify"`
	} `yaml:"cluster"`
}

type kubeconfigUser struct {
	Name string `yaml:"name"`
	User struct {
		Cert      string `yaml:"client-certificate"`
		CertData  string `yaml:"client-certificate-data"`
		Key       string `yaml:"client-key"`
		KeyData   string `yaml:"client-key-data"`
		Token     string `yaml:"token"`
		TokenFile string `yaml:"tokenFile"`
	} `yaml:"user"`
}

// readKubeconfig reads the account of the current context of a file; false when there is
// none.
func readKubeconfig(file string) (account, bool) {
	var c kubeconfig
	if yaml.Unmarshal(readSmall(file), &c) != nil {
		return account{}, false
	}
	cluster, user := "", ""
	for _, e := range c.Contexts {
		if e.Name == c.CurrentContext {
			cluster, user = e.Context.Cluster, e.Context.User
		}
	}
	a := account{file: file}
	for _, e := range c.Users {
		if e.Name == user {
			a.addUser(filepath.Dir(file), e)
		}
	}
	for _, e := range c.Clusters {
		if e.Name == cluster && strings.HasPrefix(e.Cluster.Server, "https://") {
			a.server, a.insecure = strings.TrimSuffix(e.Cluster.Server, "/"), e.Cluster.Insecure
			a.authority = contentOf(filepath.Dir(file), e.Cluster.CA, e.Cluster.CAData)
		}
	}
	return a, a.certificate != nil || !a.token.Empty()
}

// addUser adds the credentials of a user. Paths are relative to dir.
func (a *account) addUser(dir string, u kubeconfigUser) {
	cert, key := contentOf(dir, u.User.Cert, u.User.CertData), contentOf(dir, u.User.Key, u.User.KeyData)
	if pair, err := tls.X509KeyPair(cert, key); err == nil {
		a.certificate = &pair
	}
	if token := contentOf(dir, u.User.TokenFile, ""); len(token) > 0 {
		a.token = redact.New(strings.TrimSpace(string(token)))
	} else if u.User.Token != "" {
		a.token = redact.New(u.User.Token)
	}
}

// contentOf returns the content of a file, or data decoded, as kubeconfig files have one or
// the other; nil when there is neither.
func contentOf(dir, file, data string) []byte {
	if data != "" {
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil
		}
		return raw
	}
	if file == "" {
		return nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	return readSmall(file)
}

// maxFile limits the size of a configuration file or a manifest, in bytes.
const maxFile = 4 << 20

// readSmall returns the content of a file, nil when it cannot be read or is too large.
func readSmall(file string) []byte {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return raw
}

// tls returns the settings of a connection to the API server.
func (a *account) tls() *tls.Config {
	c := &tls.Config{InsecureSkipVerify: a.insecure} // as the kubelet itself, where its file says so
	if len(a.authority) > 0 {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(a.authority)
	}
	if a.certificate != nil {
		c.Certificates = []tls.Certificate{*a.certificate}
	}
	return c
}

// nodeUser begins the name of the user that a kubelet is for the API server, before the name
// of its node.
const nodeUser = "system:node:"

// node returns the name of this node: that of the account, of the kubelet's flag or of the
// machine.
func (a *account) node(k *kubelet.Kubelet) string {
	if a.certificate != nil && a.certificate.Leaf != nil {
		if name, ok := strings.CutPrefix(a.certificate.Leaf.Subject.CommonName, nodeUser); ok {
			return name
		}
	}
	if k.NodeName != "" {
		return k.NodeName
	}
	return hostName()
}

// kubeconfigsOf returns the files to look for accounts in, that of the kubelet first.
func kubeconfigsOf(k *kubelet.Kubelet) []string {
	if k.Kubeconfig == "" || slices.Contains(kubeconfigs, k.Kubeconfig) {
		return kubeconfigs
	}
	return append([]string{k.Kubeconfig}, kubeconfigs...)
}
