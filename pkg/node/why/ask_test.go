package why

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/registrytest"
)

// TestAsk asks a registry through a hosts.toml file, as containerd does, and checks the
// kind of cause that its answer is, the state of the limit, and that no pull was counted.
func TestAsk(t *testing.T) {
	t.Parallel()
	six := 6 * time.Hour
	bearer := registrytest.Policy{Auth: registrytest.AuthBearer}
	limited := registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 10}
	for _, row := range []struct {
		name    string
		options registrytest.Options
		used    int
		image   string
		kind    Kind
		quota   quota
	}{
		{"there", registrytest.Options{}, 0, "app:1", "", quota{}},
		{"pulls left", registrytest.Options{Policy: limited}, 3, "app:1", "", quota{known: true, limit: 10, remaining: 7, window: six}},
		{"limit used up", registrytest.Options{Policy: limited}, 10, "app:1", PullLimit, quota{known: true, limit: 10, window: six}},
		{"not there", registrytest.Options{Policy: bearer}, 0, "absent:1", NotFound, quota{}},
		{"account wanted", registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, RefuseAnonymous: true}}, 0, "app:1", Refused, quota{}},
		{"too many requests", registrytest.Options{Faults: registrytest.Faults{TooMany: registrytest.Always, RetryAfter: "120"}}, 0, "app:1", RequestRate, quota{retry: 2 * time.Minute}},
		{"unknown authority", registrytest.Options{TLS: true}, 0, "app:1", UnknownCA, quota{}},
		{"no digest without a GET", registrytest.Options{Faults: registrytest.Faults{NoDigest: true}}, 0, "app:1", "", quota{}},
		{"HEAD refused", registrytest.Options{Faults: registrytest.Faults{HeadStatus: 405}}, 0, "app:1", "", quota{}},
		{"fault", registrytest.Options{Faults: registrytest.Faults{Fail: registrytest.Failure{Status: 502, Times: registrytest.Always}}}, 0, "app:1", RegistryFault, quota{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			reg := registrytest.Start(t, row.options)
			registrytest.Must(reg.AddImage("app", "1", registrytest.Image{Platform: "linux/amd64"}))(t)
			reg.SetUsed("", row.used)
			dirs := []string{filepath.Join(t.TempDir(), "none"), hostsDirOf(t, reg.URL())}
			name := "site.test/" + row.image
			a := ask(t.Context(), map[string]string{"as in the pod": name}, dirs)["as in the pod"]
			s := newSubject(wait{image: name}, &facts{answers: map[string]answer{name: a}})
			if kind, text := s.failure(); kind != row.kind {
				t.Errorf("kind %q, want %q: %s", kind, row.kind, text)
			}
			if d := cmp.Diff(row.quota, a.quota, cmp.AllowUnexported(quota{})); d != "" {
				t.Errorf("quota (-want +got):\n%s", d)
			}
			if c := reg.Counts(); reg.Used("") != row.used {
				t.Errorf("%d pulls counted: %+v", reg.Used("")-row.used, c)
			}
			for _, e := range reg.Log() {
				if text := e.String(); strings.Contains(text, "GET") && strings.Contains(text, "/manifests/") {
					t.Errorf("request %s", text)
				}
			}
		})
	}
}

// hostsDirOf returns a config_path in which site.test is the server at url.
func hostsDirOf(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "site.test"), 0o755))
	text := fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", url, url)
	must(t, os.WriteFile(filepath.Join(dir, "site.test", "hosts.toml"), []byte(text), 0o600))
	return dir
}

func TestQuotaText(t *testing.T) {
	for want, q := range map[string]quota{
		"":                                 {retry: time.Hour},
		"; 0 of 100 pulls left in 6 hours": {known: true, limit: 100, remaining: -1, window: 6 * time.Hour},
		"; 1 of 10 pulls left in 90 seconds, again in 5 minutes": {known: true, limit: 10, remaining: 1, window: 90 * time.Second, retry: 5 * time.Minute},
		"; 1 of 10 pulls left": {known: true, limit: 10, remaining: 1},
	} {
		if got := q.String(); got != want {
			t.Errorf("%+v: got %q, want %q", q, got, want)
		}
	}
}
