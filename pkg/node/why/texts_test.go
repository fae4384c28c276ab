package why

import "testing"

// Messages as kubelets and containerds write them.
const (
	hub = `failed to pull and unpack image "docker.io/calico/node:v3.28.0": `
	res = hub + `failed to resolve reference "docker.io/calico/node:v3.28.0": `
	do  = res + `failed to do request: Head "https://registry-1.docker.io/v2/calico/node/manifests/v3.28.0": `
)

func TestClassify(t *testing.T) {
	for _, row := range []struct {
		name, message string
		kind          Kind
		host          string
	}{
		{"limit of pulls", hub + `failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://registry-1.docker.io/v2/calico/node/manifests/sha256:5d5f: 429 Too Many Requests` + "\n" + `toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit`, PullLimit, "registry-1.docker.io"},
		{"limit of an account", `Back-off pulling image "busybox": ErrImagePull: toomanyrequests: You have reached your pull rate limit as 'site'`, PullLimit, ""},
		{"limit of requests", res + `unexpected status from HEAD request to https://registry-1.docker.io/v2/calico/node/manifests/v3.28.0: 429 Too Many Requests`, RequestRate, "registry-1.docker.io"},
		{"limit of the kubelet", `pull QPS exceeded`, KubeletRate, ""},
		{"no such host", do + `dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host`, DNS, "registry-1.docker.io"},
		{"no answer of a name server", do + `dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: read udp 10.0.0.9:41424->10.0.0.2:53: i/o timeout`, DNS, "registry-1.docker.io"},
		{"no name server", do + `dial tcp: lookup registry-1.docker.io: Temporary failure in name resolution`, DNS, "registry-1.docker.io"},
		{"unknown authority", do + `tls: failed to verify certificate: x509: certificate signed by unknown authority`, UnknownCA, "registry-1.docker.io"},
		{"expired", do + `tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is after 2025-01-01T00:00:00Z`, CertExpired, "registry-1.docker.io"},
		{"wrong name", do + `tls: failed to verify certificate: x509: certificate is valid for hub.test, not registry-1.docker.io`, CertName, "registry-1.docker.io"},
		{"no address in it", do + `tls: failed to verify certificate: x509: cannot validate certificate for 192.0.2.1 because it doesn't contain any IP SANs`, CertName, "registry-1.docker.io"},
		{"certificate of the client", do + `remote error: tls: certificate required`, Certificate, "registry-1.docker.io"},
		{"no TLS", do + `http: server gave HTTP response to HTTPS client`, PlainHTTP, "registry-1.docker.io"},
		{"no account", res + `pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`, Refused, ""},
		{"forbidden", res + `unexpected status from HEAD request to https://site.test:5000/v2/a/manifests/1: 403 Forbidden`, Refused, "site.test:5000"},
		{"token server", res + `failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://auth.docker.io/token?scope=repository%3Acalico%2Fnode%3Apull&service=registry.docker.io: 401 Unauthorized`, Refused, "auth.docker.io"},
		{"no such tag", res + `docker.io/calico/node:v3.28.0: not found`, NotFound, ""},
		{"no such platform", hub + `no match for platform in manifest: not found`, WrongPlatform, ""},
		{"refused connection", do + `dial tcp 192.0.2.7:443: connect: connection refused`, Unreachable, "registry-1.docker.io"},
		{"no route", do + `dial tcp 192.0.2.7:443: connect: network is unreachable`, Unreachable, "registry-1.docker.io"},
		{"silence", do + `dial tcp 192.0.2.7:443: i/o timeout`, Unreachable, "registry-1.docker.io"},
		{"proxy", do + `proxyconnect tcp: dial tcp 192.0.2.8:3128: connect: connection refused`, Unreachable, "registry-1.docker.io"},
		{"fault", res + `unexpected status from HEAD request to https://registry-1.docker.io/v2/calico/node/manifests/v3.28.0: 503 Service Unavailable`, RegistryFault, "registry-1.docker.io"},
		{"disk", hub + `failed to copy: write /var/lib/containerd/io.containerd.content.v1.content/ingest/5/data: no space left on device`, DiskFull, ""},
		{"disk, unpacking", hub + `failed to extract layer sha256:5d: mount callback failed on /var/lib/containerd/tmpmounts/c: write /x: no space left on device`, DiskFull, ""},
		{"program of another platform", `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/bin/sh": exec format error`, WrongPlatform, ""},
		{"old form", res + `not implemented: media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since containerd v2.0, please rebuild the image`, Unsupported, ""},
		{"signature", `image pull failed for site.test/a:1 because the signature validation failed: no signature`, Signature, ""},

		{"names that look like causes", `Back-off pulling image "site.test/429/no-such-host/denied:toomanyrequests"`, "", ""},
		{"an address that looks like one", `unexpected status from HEAD request to https://site.test/v2/x509:%20/manifests/unauthorized: 418 I'm a teapot`, "", "site.test"},
		{"nothing", "", "", ""},
		{"another matter", `configmap "site" not found`, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := classify(row.message); got != row.kind {
				t.Errorf("classify: got %q, want %q", got, row.kind)
			}
			if got := hostOf(row.message); got != row.host {
				t.Errorf("host: got %q, want %q", got, row.host)
			}
		})
	}
}

func TestEnding(t *testing.T) {
	for message, want := range map[string]string{
		do + "dial tcp: lookup x: no such host":                  `dial tcp: lookup x: no such host`,
		res + "a:1: not found":                                   "a:1: not found",
		hub + "no match for platform\nin manifest: not found":    "no match for platform in manifest: not found",
		`Back-off pulling image "a": ErrImagePull: ` + hub + "x": "x",
		"pull QPS exceeded":                                      "pull QPS exceeded",
		"":                                                       "",
	} {
		if got := ending(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}
