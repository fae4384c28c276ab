package registrytest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stowage/internal/registrytest"
)

func TestLogAndCounts(t *testing.T) {
	h := startTeams(t, registrytest.Policy{Auth: registrytest.AuthBearer, Redirect: true})
	h.Reset()
	const repo = "library/busybox"
	ask(t, "GET", h.URL()+"/v2/")
	token := getToken(t, h, "scope=repository:library/busybox:pull", login("bob", "bob's password")).Token
	getToken(t, h, "")
	ask(t, "GET", h.URL()+"/token", login("bob", "x"))
	ask(t, "HEAD", manifestURL(h, repo, "v1"), bearer(token))
	ask(t, "GET", manifestURL(h, repo, "v1"), bearer(token))
	layer := layerOf(t, h, repo)
	where := ask(t, "GET", blobURL(h, repo, layer), bearer(token)).Header.Get("Location")
	body := ask(t, "GET", where, header("Range", "bytes=10-19"))
	ask(t, "HEAD", where)
	h.SetFaults(func(f *registrytest.Faults) { f.TooMany = 1 })
	ask(t, "GET", where)

	want := registrytest.Counts{
		Requests: 10, Pings: 1, Tokens: 3, BadLogins: 1, ManifestHeads: 1, ManifestGets: 1, Counted: 1,
		BlobHeads: 1, BlobGets: 1, Redirects: 1, Unauthorized: 2, TooMany: 1,
		BlobBytes: int64(len(body.body)),
	}
	if diff := cmp.Diff(want, h.Counts()); diff != "" {
		t.Error(diff)
	}
	log := h.Log()
	wantEntry := registrytest.Entry{
		Listener: registrytest.ListenerCDN, Host: h.CDNHost(), Proto: "HTTP/1.1", Method: "GET",
		Path: "/cdn/" + repo + "/blobs/" + layer, Kind: registrytest.KindBlob, Repo: repo, Ref: layer,
		Range: "bytes=10-19", UserAgent: "Go-http-client/1.1", Status: 206, Bytes: 10,
	}
	if diff := cmp.Diff(wantEntry, log[7], cmpopts.IgnoreFields(registrytest.Entry{}, "Time")); diff != "" {
		t.Error(diff)
	}
	if log[5].Account != "bob" || !log[5].Counted || !log[3].BadLogin {
		t.Errorf("pull %+v, bad login %+v", log[5], log[3])
	}
	var text strings.Builder
	if err := h.WriteLog(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	for i, want := range map[int]string{
		1: "registry token     GET  /token 200",
		5: "account bob, counted",
		7: "206 10 bytes, account -, bytes=10-19",
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, want %q in it", i, lines[i], want)
		}
	}
	if !strings.Contains(lines[1], "scopes [repository:library/busybox:pull]") {
		t.Errorf("line 1 is %q, want the scopes in it", lines[1])
	}
}
