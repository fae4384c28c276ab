package registrytest_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/registrytest"
)

// limits returns the quota's headers of a response.
func limits(r reply) [3]string {
	return [3]string{r.Header.Get("ratelimit-limit"), r.Header.Get("ratelimit-remaining"), r.Header.Get("docker-ratelimit-source")}
}

func TestQuota(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthNone, AnonymousQuota: 2})
	url := manifestURL(h, "library/busybox", "v1")
	layer := blobURL(h, "library/busybox", layerOf(t, h, "library/busybox"))
	for i, row := range []struct {
		method, url string
		want        int
		remaining   string // empty: no headers
	}{
		{"HEAD", url, 200, "2"},
		{"GET", url, 200, "1"},
		{"GET", manifestURL(h, "library/busybox", "none"), 404, ""},
		{"GET", layer, 200, ""},
		{"GET", url, 200, "0"},
		{"GET", url, 429, "0"},
		{"HEAD", url, 200, "0"},
		{"GET", layer, 200, ""},
		{"GET", url, 429, "0"},
	} {
		r := ask(t, row.method, row.url)
		if r.StatusCode != row.want {
			t.Errorf("%d %s %s: %d, want %d", i, row.method, row.url, r.StatusCode, row.want)
		}
		want := [3]string{}
		if row.remaining != "" {
			want = [3]string{"2;w=21600", row.remaining + ";w=21600", "127.0.0.1"}
		}
		if diff := cmp.Diff(want, limits(r)); diff != "" {
			t.Errorf("%d %s %s: %s", i, row.method, row.url, diff)
		}
		if row.want == 429 && (errorCode(r.body) != "TOOMANYREQUESTS" || !strings.Contains(string(r.body), "You have reached your pull rate limit")) {
			t.Errorf("429 says %s", r.body)
		}
	}
	if c := h.Counts(); c.Counted != 2 || c.TooMany != 2 || h.Used("") != 2 {
		t.Errorf("counted %d, refused %d, used %d, want 2 each", c.Counted, c.TooMany, h.Used(""))
	}
	h.SetUsed("", 0)
	wantStatus(t, ask(t, "GET", url), 200)
	h.SetPolicy(func(p *registrytest.Policy) { p.AnonymousQuota, p.Window = 100, 60 })
	if diff := cmp.Diff([3]string{"100;w=60", "98;w=60", "127.0.0.1"}, limits(ask(t, "GET", url))); diff != "" {
		t.Error(diff)
	}
}

// layerOf returns the digest of the only layer of repo:v1.
func layerOf(t *testing.T, h *registrytest.Registry, repo string) string {
	t.Helper()
	raw := registrytest.Must(h.Manifest(repo, "v1"))(t)
	_, rest, _ := strings.Cut(string(raw), `"layers":`)
	i := strings.Index(rest, "sha256:")
	return rest[i : i+len("sha256:")+64]
}

func TestQuotaOfAccounts(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 1})
	const scope = "repository:library/busybox:pull"
	url := manifestURL(h, "library/busybox", "v1")
	for _, row := range []struct {
		user string
		want [3]string
	}{
		{"", [3]string{"1;w=21600", "0;w=21600", "127.0.0.1"}},
		{"bob", [3]string{"7;w=21600", "6;w=21600", "bob"}},
		{"ann", [3]string{}}, // unlimited
	} {
		r := ask(t, "GET", url, bearer(h.Token(row.user, scope)))
		wantStatus(t, r, 200)
		if diff := cmp.Diff(row.want, limits(r)); diff != "" {
			t.Errorf("%q: %s", row.user, diff)
		}
	}
	wantStatus(t, ask(t, "GET", url, bearer(h.Token("", scope))), 429)
	wantStatus(t, ask(t, "GET", url, bearer(h.Token("bob", scope))), 200)
	h.SetUsed("bob", 7)
	wantStatus(t, ask(t, "GET", url, bearer(h.Token("bob", scope))), 429)
	if last := h.Log()[len(h.Log())-1]; last.Account != "bob" || last.Counted {
		t.Errorf("refusal logged as %+v", last)
	}
}

func TestAbuseLimit(t *testing.T) {
	h := startTeams(t, registrytest.Policy{AnonymousQuota: 5})
	url := manifestURL(h, "library/busybox", "v1")
	h.SetFaults(func(f *registrytest.Faults) { f.TooMany = 2 })
	for _, u := range []string{h.URL() + "/v2/", url} {
		r := ask(t, "GET", u)
		wantStatus(t, r, 429)
		if string(r.body) != "Too Many Requests" || limits(r) != [3]string{} || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %q with %v", u, r.body, r.Header)
		}
	}
	wantStatus(t, ask(t, "GET", url), 200)
	h.SetFaults(func(f *registrytest.Faults) {
		f.TooMany, f.TooManyMsg = registrytest.Always, "retry-after: 880.092µs, allowed: 44000/minute"
	})
	for range 5 {
		r := ask(t, "GET", url)
		wantStatus(t, r, 429)
		if string(r.body) != "retry-after: 880.092µs, allowed: 44000/minute" {
			t.Errorf("body %q", r.body)
		}
	}
	if h.Used("") != 1 {
		t.Errorf("used %d, want 1", h.Used(""))
	}
	h.SetFaults(registrytest.NoFaults)
	wantStatus(t, ask(t, "GET", url), 200)
}

func TestRetryAfter(t *testing.T) {
	h := startTeams(t, registrytest.Policy{AnonymousQuota: 1})
	h.SetUsed("", 1)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for _, row := range []struct{ name, value, want string }{
		{"absent", "", ""},
		{"seconds", registrytest.RetrySeconds(90 * time.Second), "90"},
		{"date", registrytest.RetryDate(at), "Fri, 02 Jan 2026 02:04:05 GMT"},
		{"epoch", registrytest.RetryEpoch(at), strconv.FormatInt(at.Unix(), 10)},
		{"duration", registrytest.RetryDuration(1500 * time.Millisecond), "1.5s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.SetFaults(func(f *registrytest.Faults) { *f = registrytest.Faults{RetryAfter: row.value} })
			url := manifestURL(h, "library/busybox", "v1")
			quota := ask(t, "GET", url)
			h.SetFaults(func(f *registrytest.Faults) { f.TooMany = 1 })
			abuse := ask(t, "GET", url)
			h.SetFaults(func(f *registrytest.Faults) { f.Fail = registrytest.Failure{Status: 502, Times: 1} })
			broken := ask(t, "GET", url)
			fine := ask(t, "HEAD", url)
			for i, r := range []reply{quota, abuse, broken, fine} {
				wantStatus(t, r, []int{429, 429, 502, http.StatusOK}[i])
				want := row.want
				if i == 3 {
					want = ""
				}
				if got := r.Header.Get("Retry-After"); got != want {
					t.Errorf("answer %d: Retry-After %q, want %q", i, got, want)
				}
			}
		})
	}
}
