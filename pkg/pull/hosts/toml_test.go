package hosts

import (
	"fmt"
	"io"
	"maps"
	"net/http"
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

const hostsExample = `# the way to Docker Hub
server = "https://registry-1.docker.io"

[host."https://zz.example.com"]
  capabilities = ["pull"]
  header = { x-team = "s3cret-team" }
[host."http://10.0.0.1:5000"]
  capabilities = ["Pull", "resolve", "push"]
  skip_verify = true
  dial_timeout = "5s"
[host."https://aa.example.com/hub"]
  ca = "/etc/ca.pem"
  client = [["/etc/cert.pem", "/etc/key.pem"], ["/etc/both.pem", ""], "/etc/both.pem"]
[host."https://aa.example.com/hub".header]
  Authorization = ["Bearer s3cret-token"]
[host."https://bb.example.com/api/docker/"]
  override_path = true
  ca = ["/etc/ca.pem", "/etc/both.pem"]
  client = "/etc/both.pem"
[host."cc.example.com/v2"]
  capabilities = ["resolve", "referrers"]
`

// withBoth returns the files of a certificate and one file with certificate and key.
func withBoth(t *testing.T) disk {
	d := certificate(t)
	d["/etc/both.pem"] = slices.Concat(d["/etc/cert.pem"], d["/etc/key.pem"])
	return d
}

// show formats mirrors for comparison.
func show(c *Config) []string {
	var out []string
	for _, registry := range slices.Sorted(maps.Keys(c.Mirrors)) {
		if len(c.Mirrors[registry]) == 0 {
			out = append(out, registry+": itself")
		}
		for _, m := range c.Mirrors[registry] {
			text := registry + ": " + m.Host + m.Root
			if m.PullOnly {
				text += " pull"
			}
			if m.ResolveOnly {
				text += " resolve"
			}
			if m.Last {
				text += " last"
			}
			out = append(out, text)
		}
	}
	return out
}

func TestParseHosts(t *testing.T) {
	files := withBoth(t)
	c, err := ParseHosts("docker.io", []byte(hostsExample), files.read)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"docker.io: zz.example.com pull",
		"docker.io: 10.0.0.1:5000",
		"docker.io: aa.example.com/hub/v2",
		"docker.io: bb.example.com/api/docker",
		"docker.io: cc.example.com resolve",
	}
	if diff := cmp.Diff(want, show(c)); diff != "" {
		t.Errorf("mirrors, -want +got:\n%s", diff)
	}
	var got []string
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		h := c.Hosts[name]
		got = append(got, fmt.Sprintf("%s: %d authorities, %d certificates, skip %t, plain %t, %q", name,
			strings.Count(string(h.CA), "BEGIN CERT"), len(h.Certificates), h.SkipVerify, h.Plain, slices.Sorted(maps.Keys(h.Header))))
	}
	want = []string{
		`10.0.0.1:5000: 0 authorities, 0 certificates, skip true, plain true, []`,
		`aa.example.com: 1 authorities, 3 certificates, skip false, plain false, ["Authorization"]`,
		`bb.example.com: 2 authorities, 1 certificates, skip false, plain false, []`,
		`cc.example.com: 0 authorities, 0 certificates, skip false, plain false, []`,
		`registry-1.docker.io: 0 authorities, 0 certificates, skip false, plain false, []`,
		`zz.example.com: 0 authorities, 0 certificates, skip false, plain false, ["X-Team"]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hosts, -want +got:\n%s", diff)
	}
	for name, h := range c.Hosts {
		if want := map[string]time.Duration{"10.0.0.1:5000": 5 * time.Second}[name]; h.DialTimeout != want {
			t.Errorf("%s: %s for a connection, want %s", name, h.DialTimeout, want)
		}
	}
	if v := c.Hosts["aa.example.com"].Header.Get("Authorization"); v != "Bearer s3cret-token" {
		t.Errorf("header %q", v)
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "s3cret") {
		t.Error("a value is shown")
	}
	if _, err := pull.New(pull.Options{All: true, Hosts: c.Hosts, Mirrors: c.Mirrors}); err != nil {
		t.Error(err)
	}
}

// TestHostsEndpoints checks which hosts are asked, in which order, and the paths of their
// APIs.
func TestHostsEndpoints(t *testing.T) {
	for name, c := range map[string]struct {
		registry, raw string
		want          []string
	}{
		"nothing":              {"quay.io", "", []string{"quay.io: itself"}},
		"comments":             {"quay.io", "# nothing\n", []string{"quay.io: itself"}},
		"an empty host":        {"quay.io", "[host.'https://m.example']", []string{"quay.io: m.example"}},
		"server is itself":     {"quay.io", "server = 'https://quay.io'", []string{"quay.io: itself"}},
		"docker.io is":         {"docker.io", "server = 'https://docker.io'\n[host.'https://registry-1.docker.io']\n", []string{"docker.io: itself"}},
		"itself in between":    {"quay.io", "[host.'https://quay.io']\n[host.'https://m.example']\n[host.'https://quay.io/v2/']", []string{"quay.io: quay.io", "quay.io: m.example"}},
		"another server":       {"quay.io", "server = 'https://m.example'", []string{"quay.io: m.example last"}},
		"hosts and it":         {"quay.io", "server = 's.example/x'\n[host.'https://m.example']", []string{"quay.io: m.example", "quay.io: s.example/x/v2 last"}},
		"itself with a path":   {"quay.io", "server = 'https://quay.io/x/v2'", []string{"quay.io: quay.io/x/v2 last"}},
		"itself for bytes":     {"quay.io", "server = 'https://quay.io'\ncapabilities = ['pull']", []string{"quay.io: quay.io pull last"}},
		"all registries":       {"_default", "server = 'https://s.example'\n[host.'https://m.example']", []string{"*: m.example", "*: s.example last"}},
		"a path that ends so":  {"quay.io", "[host.'https://m.example/a/v2/']", []string{"quay.io: m.example/a/v2"}},
		"a path with detours":  {"quay.io", "[host.'https://m.example/a/../b//c']", []string{"quay.io: m.example/b/c/v2"}},
		"a path as it stands":  {"quay.io", "[host.'https://m.example/v2/proxy']\noverride_path = true", []string{"quay.io: m.example/v2/proxy"}},
		"/v2 as it stands":     {"quay.io", "[host.'https://m.example/v2/']\noverride_path = true", []string{"quay.io: m.example"}},
		"order, not alphabet":  {"quay.io", "[host.'https://c.example']\n[host.'https://a.example']\n[host.'https://b.example']", []string{"quay.io: c.example", "quay.io: a.example", "quay.io: b.example"}},
		"a header in between":  {"quay.io", "[host.'https://a.example'.header]\nX = 'y'\n[host.'https://b.example']\n[host.'https://a.example']", []string{"quay.io: a.example", "quay.io: b.example"}},
		"no use at all":        {"quay.io", "[host.'https://a.example']\ncapabilities = ['push']", []string{"quay.io: a.example pull resolve"}},
		"no capabilities said": {"quay.io", "[host.'https://a.example']\ncapabilities = []", []string{"quay.io: a.example"}},
		"with a port":          {"quay.io:5000", "[host.'https://quay.io']", []string{"quay.io:5000: quay.io"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseHosts(c.registry, []byte(c.raw), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, show(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestInvalidHosts(t *testing.T) {
	files := withBoth(t)
	files["/etc/big.pem"] = make([]byte, maxFile+1)
	files["/etc/full.pem"] = make([]byte, maxFile)
	copy(files["/etc/full.pem"], files["/etc/ca.pem"])
	at := "\n[host.'https://m.example']\n"
	for name, c := range map[string]struct{ raw, want string }{
		"no TOML":                       {"server = 'a'\n  = s3cret", "docker.io: line 2, column 3: not TOML"},
		"a text without an end":         {at + "header = {Authorization = 's3cret", "line 3"},
		"a value without quotes":        {at + "[host.'https://m.example'.header]\nAuthorization = s3cret", "line 4"},
		"a field misspelt":              {"server = 'a'" + at + "skip_verfy = true", `line 3: field "skip_verfy" not found`},
		"a field of nowhere":            {"[hosts.'https://s3cret@m.example']", "line 1: field"},
		"another kind":                  {at + "skip_verify = 's3cret'", "line 3, column 15"},
		"twice":                         {at + at, "line 4"},
		"a capability":                  {at + "capabilities = ['pulls']", `line 2: capabilities: unknown "pulls"`},
		"of the server":                 {"capabilities = ['x']", `capabilities: unknown "x"`},
		"a scheme":                      {"[host.'ftp://m.example']", "line 1: endpoint"},
		"no host":                       {"[host.'https://']", "line 1: endpoint"},
		"an account in there":           {"[host.'https://ann:s3cret@m.example']", "line 1: address: want"},
		"one in the server":             {"server = 'https://ann:s3cret@m.example'", "server: address: want"},
		"a query":                       {"[host.'https://m.example/?token=s3cret']", "line 1: address: want"},
		"no path to stand":              {"[host.'https://m.example/']\noverride_path = true", "line 1: override_path"},
		"a host without a heading":      {"[host]\n'https://ann:s3cret@m.example' = {skip_verify = true}", "no heading"},
		"and one that has one":          {"host.'https://n.example'.skip_verify = true\n[host.'https://m.example']", "no heading"},
		"ca of another kind":            {at + "ca = 3", "line 2: ca: want a path"},
		"ca in a list":                  {at + "ca = [['s3cret']]", "line 2: ca: want a path"},
		"ca that is not there":          {at + "ca = '/none'", "line 2: ca: open /none"},
		"ca that is none":               {at + "ca = '/etc/key.pem'", "/etc/key.pem: no PEM certificate"},
		"ca without a name":             {at + "ca = ''", "empty path"},
		"ca that is larger":             {at + "ca = '/etc/big.pem'", "/etc/big.pem: larger than"},
		"many":                          {at + "ca = [" + strings.Repeat("'/etc/full.pem',", 17) + "]", "the files together are larger than"},
		"client of another kind":        {at + "client = true", "line 2: client: want a path"},
		"client of three":               {at + "client = [['/etc/cert.pem', '/etc/key.pem', '']]", "line 2: client: want a path"},
		"client of one":                 {at + "client = [['/etc/both.pem']]", "line 2: client: want a path"},
		"client without a key":          {at + "client = '/etc/cert.pem'", "line 2: client: /etc/cert.pem: "},
		"key that is not there":         {at + "client = [['/etc/cert.pem', '/none']]", "open /none"},
		"a header of another kind":      {at + "header = {Authorization = 3}", `line 2: header "Authorization": want a string`},
		"a header in a list":            {at + "header = {Authorization = ['s3cret', 1]}", `header "Authorization": want a string`},
		"a header of two lines":         {at + `header = {Authorization = "s3cret\nX: y"}`, `header "Authorization": control character`},
		"a header without a name":       {at + "header = {'a b' = 's3cret'}", `header "a b": not the name`},
		"a header twice":                {at + "header = {Authorization = 's3cret', authorization = 's3cret'}", "listed twice"},
		"no time":                       {at + "dial_timeout = '0s'", "dial_timeout: want a duration"},
		"a timeout":                     {at + "dial_timeout = 'soon'", "dial_timeout: want a duration"},
		"a host in two ways":            {"[host.'https://m.example/a']\nskip_verify = true\n[host.'https://m.example/b']", "line 3: host m.example: whether its certificate"},
		"a header in two ways":          {"[host.'https://m.example/a']\nheader = {X = 's3cret'}\n[host.'https://m.example/b']\nheader = {X = 's3cret2'}", "line 3: host m.example: header \"X\" must"},
		"too large":                     {strings.Repeat("#", maxFile+1), "larger than"},
		"deep":                          {at + "ca = " + strings.Repeat("[", 500_000), "line 3"},
		"too many":                      {manyHosts(maxHosts + 1), "more than 1000 hosts"},
		"as many hosts as there may be": {manyHosts(maxHosts), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseHosts("docker.io", []byte(c.raw), files.read)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "hosts.toml of docker.io: ") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %.300v, want one with %q and without a value", err, c.want)
			}
		})
	}
}

func manyHosts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[host.'https://m%d.example']\n", i)
	}
	return b.String()
}

func TestInvalidRegistryName(t *testing.T) {
	for _, name := range []string{"", "https://quay.io", "http://quay.io", "quay.io/a", "a b", "ann@quay.io", "/"} {
		if _, err := ParseHosts(name, nil, nil); err == nil || !strings.Contains(err.Error(), "not the name of a registry") {
			t.Errorf("%q: error %v", name, err)
		}
	}
	for _, raw := range []string{"ca = '/etc/ca.pem'", "skip_verify = true", "client = 'x'", "header = {X = 's3cret'}"} {
		if _, err := ParseHosts("_default", []byte(raw), nil); err == nil || !strings.Contains(err.Error(), "without a server") {
			t.Errorf("%q for all registries: error %v", raw, err)
		}
	}
}

// TestPullWithHosts pulls through the hosts of a hosts.toml, with its authority and header.
func TestPullWithHosts(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{TLS: true, Policy: registrytest.Policy{Auth: registrytest.AuthBasic, Accounts: []registrytest.Account{{User: "ann", Password: "pw"}}, RefuseAnonymous: true}})
	added := registrytest.Must(h.AddImage("library/busybox", "1.36", registrytest.Image{}))(t)
	for name, c := range map[string]struct {
		raw string
		ok  bool
	}{
		"as a server": {"server = 'https://%[1]s'\nca = 'ca.pem'\nheader = {authorization = 'Basic YW5uOnB3'}", true},
		"as a host":   {"server = 'https://127.0.0.1:9'\n[host.'https://%[1]s']\nca = 'ca.pem'\nheader = {authorization = 'Basic YW5uOnB3'}", true},
		"no header":   {"server = 'https://%[1]s'\nca = 'ca.pem'", false},
		"no ca":       {"server = 'https://%[1]s'\nheader = {authorization = 'Basic YW5uOnB3'}", false},
		"skip_verify": {"server = 'https://%[1]s'\nskip_verify = true\nheader = {authorization = 'Basic YW5uOnB3'}", true},
		"only pull":   {"server = 'https://%[1]s'\nca = 'ca.pem'\nheader = {authorization = 'Basic YW5uOnB3'}\ncapabilities = ['pull']", false},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := ParseHosts("docker.io", fmt.Appendf(nil, c.raw, h.Host()), disk{"ca.pem": h.CAPEM()}.read)
			if err != nil {
				t.Fatal(err)
			}
			store, err := account.Load(account.Options{Environment: &account.Environment{}})
			if err != nil {
				t.Fatal(err)
			}
			client, err := pull.New(pull.Options{
				Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}},
				Accounts:  store, Mirrors: config.Mirrors, Hosts: config.Hosts,
			})
			if err != nil {
				t.Fatal(err)
			}
			images, failures, err := client.Resolve(t.Context(), []pull.Query{{Name: "docker.io/library/busybox:1.36"}})
			if err != nil || c.ok != (len(failures) == 0) || c.ok && images[0].Target.Digest != added.Digest {
				t.Errorf("%v, %v, %v", images, failures, err)
			}
			if text := fmt.Sprint(failures); strings.Contains(text, "YW5uOnB3") {
				t.Errorf("a value is shown: %s", text)
			}
		})
	}
}

func FuzzParseHosts(f *testing.F) {
	f.Add("docker.io", []byte(hostsExample))
	f.Add("_default", []byte("server = 'https://m.example/x'\n[host.'http://n.example:5000']\n[host.'http://n.example:5000'.header]\na = ['b', 'c']"))
	f.Add("quay.io:5000", []byte("host = {'https://m.example' = {ca = [], client = [[]]}}"))
	f.Add("quay.io", []byte("[host.\"https://m.example\\n\"]\noverride_path = true"))
	f.Fuzz(func(t *testing.T, registry string, raw []byte) {
		c, err := ParseHosts(registry, raw, disk{}.read)
		if err != nil {
			return
		}
		if len(c.Mirrors) != 1 {
			t.Errorf("mirrors of %d registries", len(c.Mirrors))
		}
		for registry, list := range c.Mirrors {
			for i, m := range list {
				if m.Host == "" || m.Root != "" && !strings.HasPrefix(m.Root, "/") || strings.HasSuffix(m.Root, "/") || m.Last && i < len(list)-1 {
					t.Errorf("%q: mirror %+v", registry, m)
				}
			}
		}
		for name, h := range c.Hosts {
			req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/", nil)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(req.Header, h.Header)
			if err := req.Write(io.Discard); err != nil || name == "" {
				t.Errorf("host %q: a header that cannot be sent: %v", name, err)
			}
		}
	})
}
