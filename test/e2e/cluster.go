//go:build linux

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stowage/internal/need"
)

// cluster is a control plane inside a machine: etcd, an API server, the controllers and the
// scheduler. It ends with the machine.
type cluster struct {
	*apiServer
	machine  *machine
	programs controlPlane
	nodes    atomic.Int32
}

// The ports and names of a control plane. Every machine has its own ports.
const (
	etcdURL     = "http://127.0.0.1:2379"
	etcdPeerURL = "http://127.0.0.1:2380"

	adminName       = "admin"
	controllersName = "system:kube-controller-manager"
	schedulerName   = "system:kube-scheduler"
)

// maxNodes is the number of nodes that the API server has tokens for.
const maxNodes = 30

// nodeSite returns where the node of a number runs, from 1 on. The addresses are those for
// documentation (RFC 5737).
func nodeSite(i int) site {
	return site{fmt.Sprintf("n%d", i), fmt.Sprintf("192.0.2.%d", 10+i)}
}

// startCluster starts a control plane and waits until pods can be created.
func (m *machine) startCluster(t *testing.T) *cluster {
	t.Helper()
	programs, err := findControlPlane()
	if err != nil {
		need.Missing(t, err)
	}
	c := &cluster{machine: m, programs: programs}
	if err := os.MkdirAll(c.path(""), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.writeFiles(); err != nil {
		t.Fatalf("configure the cluster: %v", err)
	}
	c.run(t, "etcd", programs.etcd, "--data-dir", filepath.Join(m.diskDir(), "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", etcdPeerURL, "--initial-advertise-peer-urls", etcdPeerURL, "--initial-cluster", "default="+etcdPeerURL)
	c.apiServer = c.startAPIServer(t, firstAPIPort)
	c.run(t, "controllers", programs.controllers, append(c.identity(controllersName),
		"--secure-port", "10257", "--service-account-private-key-file", c.path("sa.key"), "--use-service-account-credentials")...)
	c.run(t, "scheduler", programs.scheduler, append(c.identity(schedulerName), "--secure-port", "10259")...)
	// Pods require it, and a controller creates it.
	c.wait(t, "the service account of pods", "/api/v1/namespaces/default/serviceaccounts/default", func(map[string]any) bool { return true })
	return c
}

// path returns the path of a file of the control plane.
func (c *cluster) path(name string) string { return c.machine.path(filepath.Join("cluster", name)) }

// run starts a program of the control plane. The end of its log is printed if the test
// fails.
func (c *cluster) run(t *testing.T, name, program string, args ...string) {
	t.Helper()
	log, err := os.Create(c.path(name + ".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := c.machine.command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := c.machine.startInside(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		select {
		case <-p.ended:
			t.Logf("%s has exited: %v", name, p.err)
		default:
		}
		t.Logf("what %s complains of:\n%s", name, complaints(log.Name(), 20))
	})
}

// firstAPIPort is the port of the API server that the nodes use.
const firstAPIPort = 6443

// startAPIServer starts an API server and waits until it is ready. A second one on another
// port has the same objects; extra are further flags.
func (c *cluster) startAPIServer(t *testing.T, port int, extra ...string) *apiServer {
	t.Helper()
	name := fmt.Sprintf("api-server-%d", port)
	c.run(t, name, c.programs.apiServer, append([]string{
		"--etcd-servers", etcdURL, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(port),
		"--advertise-address", "192.0.2.10", "--endpoint-reconciler-type", "none", "--cert-dir", c.path(name),
		"--token-auth-file", c.path("tokens.csv"), "--authorization-mode", "Node,RBAC", "--allow-privileged",
		"--service-account-issuer", "https://stowage.test", "--service-account-key-file", c.path("sa.pub"),
		"--service-account-signing-key-file", c.path("sa.key"), "--service-cluster-ip-range", "198.51.100.0/24",
	}, extra...)...)
	s := &apiServer{url: fmt.Sprintf("https://127.0.0.1:%d", port), client: &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext:     c.machine.dial,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // it signed its certificate itself
		},
	}}
	t.Cleanup(s.client.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		// It includes the roles of the controllers, which exit without them.
		err := s.call(ctx, http.MethodGet, "/readyz", nil, nil)
		if err == nil {
			return s
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the API server does not answer: %v", err)
		}
	}
}

// token returns the token of a user.
func token(user string) string { return "token-of-" + strings.ReplaceAll(user, ":", "-") }

// kubeconfig returns the path of a user's configuration.
func (c *cluster) kubeconfig(user string) string {
	return c.path(strings.ReplaceAll(user, ":", "-") + ".conf")
}

// identity returns the flags of a program that calls the API server as a user.
func (c *cluster) identity(user string) []string {
	conf := c.kubeconfig(user)
	return []string{"--kubeconfig", conf, "--authentication-kubeconfig", conf, "--authorization-kubeconfig", conf,
		"--leader-elect=false", "--bind-address", "127.0.0.1"}
}

// writeFiles writes the key of the service accounts, the tokens of all users, and their
// configurations.
func (c *cluster) writeFiles() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"sa.key": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		"sa.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}
	users := [][3]string{ // file, name, group
		{adminName, adminName, "system:masters"}, {controllersName, controllersName, ""}, {schedulerName, schedulerName, ""},
	}
	for i := range maxNodes {
		name := nodeSite(i + 1).name
		users = append(users, [3]string{name, "system:node:" + name, "system:nodes"})
	}
	var tokens strings.Builder
	for _, u := range users {
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", token(u[0]), u[1], u[0], u[2])
		conf, err := kubeconfig(token(u[0]))
		if err != nil {
			return err
		}
		files[filepath.Base(c.kubeconfig(u[0]))] = conf
	}
	files["tokens.csv"] = []byte(tokens.String())
	for name, content := range files {
		if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig returns a configuration for the API server with a token.
func kubeconfig(token string) ([]byte, error) {
	type m = map[string]any
	return json.Marshal(m{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []m{{"name": "c", "cluster": m{
			"server": fmt.Sprintf("https://127.0.0.1:%d", firstAPIPort), "insecure-skip-tls-verify": true,
		}}},
		"users":    []m{{"name": "u", "user": m{"token": token}}},
		"contexts": []m{{"name": "c", "context": m{"cluster": "c", "user": "u"}}},
	})
}

// addNode starts containerd for the next node, with the CNI plugins, without which a node is
// never ready. config is as in [machine.startNode], and depends on the path of the node.
func (c *cluster) addNode(t *testing.T, config func(dir string) string) *node {
	t.Helper()
	i := int(c.nodes.Add(1))
	if i > maxNodes {
		t.Fatalf("more than %d nodes", maxNodes)
	}
	s := nodeSite(i)
	if err := c.machine.addAddress(i, netip.MustParseAddr(s.address)); err != nil {
		t.Fatal(err)
	}
	text := ""
	if config != nil {
		text = config(c.machine.path(s.name))
	}
	n := c.machine.startNodeAt(t, s, text)
	n.cluster = c
	if err := n.addNetwork(i, c.programs.plugins); err != nil {
		t.Fatal(err)
	}
	return n
}

// addNetwork configures CNI: each pod that does not use the network of the machine has an
// interface of its own, and a route to the machine.
func (n *node) addNetwork(number int, plugins []string) error {
	dir := filepath.Join(n.Dir(), "cni")
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return err
	}
	for _, plugin := range plugins {
		if err := os.Symlink(plugin, filepath.Join(dir, "bin", filepath.Base(plugin))); err != nil {
			return err
		}
	}
	type m = map[string]any
	raw, err := json.Marshal(m{"cniVersion": "0.4.0", "name": n.site.name, "plugins": []m{{
		"type": "ptp", "ipam": m{
			"type": "host-local", "dataDir": n.path("ipam"),
			"ranges": [][]m{{{"subnet": fmt.Sprintf("203.0.113.%d/29", number*8)}}},
		},
	}}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "net.d", "10-ptp.conflist"), raw, 0o600)
}

// ready reports whether a node is ready for pods.
func ready(node map[string]any) bool {
	conditions, _ := field(node, "status", "conditions").([]any)
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Ready" && c["status"] == "True" {
			return true
		}
	}
	return false
}
