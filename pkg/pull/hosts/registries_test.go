package hosts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/pull"
	"stowage/pkg/pull/account"
)

const example = `
mirrors:
  docker.io:
    endpoint:
      - "https://mirror.example:5000"
      - "http://plain.example/"
      - "https://artifacts.example/api/docker/hub/v2/"
      - "https://mirror.example:5000/v2"
      - "https://registry-1.docker.io"
    rewrite:
      "^rancher/(.*)": "project/rancher-images/$1"
      "^library/(.*)": "official/$1"
  "*":
    endpoint: [any.example]
configs:
  "mirror.example:5000":
    auth: {username: ann, password: s3cret-pw}
    tls: {ca_file: /etc/ca.pem, cert_file: /etc/cert.pem, key_file: /etc/key.pem}
  artifacts.example:
    auth: {identity_token: s3cret-token}
    tls: {insecure_skip_verify: true}
  docker.io:
    auth: {auth: "Ym9iOnMzY3JldC1wdw=="}
`

// disk serves files by path.
type disk map[string][]byte

func (d disk) read(path string) ([]byte, error) {
	if b, ok := d[path]; ok {
		return b, nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// files of a self-signed certificate.
func certificate(t *testing.T) disk {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return disk{"/etc/ca.pem": cert, "/etc/cert.pem": cert, "/etc/key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}
}

func TestParseRegistries(t *testing.T) {
	files := certificate(t)
	c, err := ParseRegistries([]byte(example), files.read)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, registry := range slices.Sorted(maps.Keys(c.Mirrors)) {
		for _, m := range c.Mirrors[registry] {
			var rewrites []string
			for _, r := range m.Rewrites {
				rewrites = append(rewrites, r.Match.String()+" to "+r.To)
			}
			got = append(got, fmt.Sprintf("%s: %s root %q rewrites %q", registry, m.Host, m.Root, rewrites))
		}
	}
	rewrites := `["^library/(.*) to official/$1" "^rancher/(.*) to project/rancher-images/$1"]`
	want := []string{
		`*: any.example root "" rewrites []`,
		`docker.io: mirror.example:5000 root "" rewrites ` + rewrites,
		`docker.io: plain.example root "" rewrites ` + rewrites,
		`docker.io: artifacts.example root "/api/docker/hub/v2" rewrites ` + rewrites,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mirrors, -want +got:\n%s", diff)
	}
	if h := c.Hosts["plain.example"]; !h.Plain || h.SkipVerify {
		t.Errorf("plain.example: %+v", h)
	}
	if h := c.Hosts["artifacts.example"]; h.Plain || !h.SkipVerify {
		t.Errorf("artifacts.example: %+v", h)
	}
	if h := c.Hosts["mirror.example:5000"]; string(h.CA) != string(files["/etc/ca.pem"]) || len(h.Certificates) != 1 {
		t.Errorf("mirror.example: %d bytes of authorities, %d certificates", len(h.CA), len(h.Certificates))
	}
	if _, err := pull.New(pull.Options{All: true, Hosts: c.Hosts, Mirrors: c.Mirrors}); err != nil {
		t.Error(err)
	}
}

func TestAccounts(t *testing.T) {
	c, err := ParseRegistries([]byte(example), certificate(t).read)
	if err != nil {
		t.Fatal(err)
	}
	store, err := account.Load(account.Options{Environment: &account.Environment{}, Secrets: c.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	for repo, kind := range map[string]account.Kind{
		"mirror.example:5000/library/busybox": account.Password,
		"artifacts.example/library/busybox":   account.IdentityToken,
		"docker.io/library/busybox":           account.Password,
	} {
		list, err := store.For(t.Context(), repo, nil)
		if err != nil || len(list) != 1 || list[0].Auth.Kind() != kind || !strings.Contains(list[0].Source, "registries.yaml") {
			t.Errorf("%s: %v, %v, want a %s", repo, list, err, kind)
		}
	}
	if list, err := store.For(t.Context(), "plain.example/a/b", nil); err != nil || len(list) > 0 {
		t.Errorf("an account for a host that has none: %v, %v", list, err)
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "s3cret") {
		t.Error("a value is shown")
	}
}

func TestEmpty(t *testing.T) {
	for _, raw := range []string{"", "\n# nothing\n", "{}", "mirrors:\nconfigs:\n", "mirrors: {docker.io: {}}", "configs: {docker.io: {auth: {}}}"} {
		c, err := ParseRegistries([]byte(raw), nil)
		if err != nil || len(c.Mirrors)+len(c.Hosts)+len(c.Secrets) != 0 {
			t.Errorf("%q: %+v, %v", raw, c, err)
		}
	}
}

func TestInvalidRegistries(t *testing.T) {
	files := certificate(t)
	files["/etc/big.pem"] = make([]byte, maxFile+1)
	for name, c := range map[string]struct{ raw, want string }{
		"no YAML":               {"\t", "registries.yaml: yaml: "},
		"a list":                {"- a", "line 1"},
		"a field misspelt":      {"configs: {h.example: {auth: {pasword: s3cret}}}", "field pasword not found"},
		"a value of no use":     {"configs: {h.example: {auth: {username: [s3cret]}}}", "line 1: a value of another kind"},
		"a pattern":             {"mirrors: {docker.io: {rewrite: {'(': x}}}", "docker.io: rewrite: "},
		"an endpoint":           {"mirrors: {docker.io: {endpoint: ['ftp://h.example']}}", "want http(s)"},
		"no endpoint":           {"mirrors: {docker.io: {endpoint: ['https://']}}", "no address"},
		"an account in there":   {"mirrors: {docker.io: {endpoint: ['https://ann:s3cret@h.example']}}", "belong in configs"},
		"a broken one":          {"mirrors: {docker.io: {endpoint: ['https://ann:s3cret@h ex%']}}", "no address"},
		"a password alone":      {"configs: {h.example: {auth: {password: s3cret}}}", "belong together"},
		"not base64":            {"configs: {h.example: {auth: {auth: s3cret!}}}", "not base64"},
		"a key alone":           {"configs: {h.example: {tls: {key_file: /etc/key.pem}}}", "belong together"},
		"no such file":          {"configs: {h.example: {tls: {ca_file: /none}}}", "/none"},
		"a file that is larger": {"configs: {h.example: {tls: {ca_file: /etc/big.pem}}}", "larger than"},
		"no key":                {"configs: {h.example: {tls: {cert_file: /etc/cert.pem, key_file: /etc/ca.pem}}}", "/etc/cert.pem"},
		"all hosts":             {"configs: {'*': {tls: {insecure_skip_verify: true}}}", "named hosts"},
		"too large":             {strings.Repeat("#", maxFile+1), "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseRegistries([]byte(c.raw), files.read)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %v, want one with %q and without a value", err, c.want)
			}
		})
	}
}

// TestPullWithRegistries pulls through the mirrors of a registries.yaml.
func TestPullWithRegistries(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{TLS: true, Policy: registrytest.Policy{Auth: registrytest.AuthBearer, RefuseAnonymous: true, Accounts: []registrytest.Account{{User: "ann", Password: "pw"}}}})
	added := registrytest.Must(h.AddImage("official/busybox", "1.36", registrytest.Image{}))(t)
	raw := fmt.Sprintf(`
mirrors: {docker.io: {endpoint: ["https://%[1]s"], rewrite: {"^library/": "official/"}}}
configs: {"%[1]s": {auth: {username: ann, password: pw}, tls: {ca_file: ca.pem}}}`, h.Host())
	config, err := ParseRegistries([]byte(raw), disk{"ca.pem": h.CAPEM()}.read)
	if err != nil {
		t.Fatal(err)
	}
	store, err := account.Load(account.Options{Environment: &account.Environment{}, Secrets: config.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pull.New(pull.Options{
		Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}},
		Accounts:  store, Mirrors: config.Mirrors, Hosts: config.Hosts,
	})
	if err != nil {
		t.Fatal(err)
	}
	images, failures, err := c.Resolve(t.Context(), []pull.Query{{Name: "docker.io/library/busybox:1.36"}})
	if err != nil || len(failures) > 0 || images[0].Target.Digest != added.Digest {
		t.Errorf("%v, %v, %v", images, failures, err)
	}
}

func FuzzParseRegistries(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("mirrors: {docker.io: {endpoint: ['https://h.example/v2'], rewrite: {a: b}}}"))
	f.Add([]byte("configs: {h.example: {auth: {auth: eDp5}}}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseRegistries(raw, disk{}.read)
		if err != nil {
			return
		}
		for registry, list := range c.Mirrors {
			for _, m := range list {
				if m.Host == "" || m.Root != "" && !strings.HasPrefix(m.Root, "/") || strings.HasSuffix(m.Root, "/") {
					t.Errorf("%q: mirror %+v", registry, m)
				}
			}
		}
	})
}
