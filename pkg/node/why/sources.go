package why

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"stowage/internal/kubelet"
	"stowage/internal/redact"
)

const (
	// maxPods limits the size of a list of pods, in bytes.
	maxPods = 64 << 20
	// podsTimeout is how long a kubelet or an API server may take to answer.
	podsTimeout = 10 * time.Second
)

// source is a place that lists the pods of this node.
type source interface {
	pods(context.Context) ([]pod, error)
	String() string
}

// sources returns the places to ask for the pods, in this order: the kubelet's read-only
// port, its authenticated port with each client certificate of the node, and the API server
// with the account of the kubelet.
func sources(k *kubelet.Kubelet, accounts []account) []source {
	var all []source
	host := "127.0.0.1"
	if ip := net.ParseIP(k.Address); ip != nil && !ip.IsUnspecified() {
		host = k.Address
	}
	if k.ReadOnlyPort > 0 {
		all = append(all, &server{
			name: fmt.Sprintf("the kubelet's read-only port %d", k.ReadOnlyPort),
			url:  "http://" + net.JoinHostPort(host, strconv.Itoa(k.ReadOnlyPort)) + "/pods",
		})
	}
	for _, a := range accounts {
		if k.Port > 0 && a.certificate != nil {
			all = append(all, &server{
				name: fmt.Sprintf("the kubelet's port %d with %s", k.Port, a.file),
				url:  "https://" + net.JoinHostPort(host, strconv.Itoa(k.Port)) + "/pods",
				// The certificate of a kubelet is mostly its own. A client certificate is
				// proved, not sent, so that a wrong server learns nothing.
				tls: &tls.Config{Certificates: []tls.Certificate{*a.certificate}, InsecureSkipVerify: true},
			})
		}
	}
	for _, a := range accounts {
		if a.server == "" {
			continue
		}
		query := url.Values{"fieldSelector": {"spec.nodeName=" + a.node(k)}}
		s := &server{name: fmt.Sprintf("the API server with %s", a.file), url: a.server + "/api/v1/pods?" + query.Encode(), tls: a.tls(), token: a.token}
		all = append(all, s)
	}
	return all
}

// server is a kubelet or an API server that lists pods.
type server struct {
	name, url string
	tls       *tls.Config
	token     redact.Value
}

// String names the server and the account.
func (s *server) String() string { return s.name }

// pods asks the server.
func (s *server) pods(ctx context.Context) ([]pod, error) {
	ctx, cancel := context.WithTimeout(ctx, podsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	if !s.token.Empty() {
		req.Header.Set("Authorization", "Bearer "+s.token.Reveal())
	}
	transport := &http.Transport{TLSClientConfig: s.tls} // without a proxy
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, reason(err)
	}
	defer resp.Body.Close() // only read from
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return decodePods(resp.Body)
}

// reason returns an error of a request without its address.
func reason(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// decodePods reads a PodList.
func decodePods(r io.Reader) ([]pod, error) {
	limited := &io.LimitedReader{R: r, N: maxPods}
	var list struct {
		Kind  string `json:"kind"`
		Items []pod  `json:"items"`
	}
	if err := json.NewDecoder(limited).Decode(&list); err != nil {
		if limited.N <= 0 {
			return nil, fmt.Errorf("more than %d MiB of pods", maxPods>>20)
		}
		return nil, fmt.Errorf("read the list of pods: %w", err)
	}
	if list.Kind != "PodList" {
		return nil, fmt.Errorf("%q is not a list of pods", list.Kind)
	}
	return list.Items, nil
}

// hostName returns the name that a kubelet registers its node with, if no flag sets it.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(name))
}
