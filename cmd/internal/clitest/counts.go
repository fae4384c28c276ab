package clitest

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"stowage/internal/registrytest"
)

// comparison is KEY=N, KEY>=N or KEY<=N.
var comparison = regexp.MustCompile(`^([a-z.:A-Z0-9]+)(=|>=|<=)(\d+)$`)

// wantCounts checks what the registry counted since its start or the last registry reset:
//
//	requests pings tokens badlogins heads gets counted blobheads blobgets blobbytes
//	redirects unauthorized toomany        see registrytest.Counts; heads and gets are of manifests
//	used:USER used:anonymous              pulls that an account has used
func wantCounts(ts *testscript.TestScript, h *registrytest.Registry, args []string) error {
	var wrong []string
	for _, a := range args {
		m := comparison.FindStringSubmatch(a)
		if m == nil {
			return fmt.Errorf("registry counts %q: want KEY=N, KEY>=N or KEY<=N", a)
		}
		got, ok := count(h, m[1])
		if !ok {
			return fmt.Errorf("registry counts: no such counter: %s", m[1])
		}
		want := number(ts, m[3])
		if good := map[string]bool{"=": got == want, ">=": got >= want, "<=": got <= want}[m[2]]; !good {
			wrong = append(wrong, fmt.Sprintf("%s: got %d, want %s%d", m[1], got, m[2], want))
		}
	}
	if wrong != nil {
		return fmt.Errorf("registry counts: %s\nall: %+v", strings.Join(wrong, "; "), h.Counts())
	}
	return nil
}

func count(h *registrytest.Registry, key string) (int64, bool) {
	if user, ok := strings.CutPrefix(key, "used:"); ok {
		if user == "anonymous" {
			user = ""
		}
		return int64(h.Used(user)), true
	}
	c := h.Counts()
	n, ok := map[string]int64{
		"requests": int64(c.Requests), "pings": int64(c.Pings), "tokens": int64(c.Tokens), "badlogins": int64(c.BadLogins),
		"heads": int64(c.ManifestHeads), "gets": int64(c.ManifestGets), "counted": int64(c.Counted),
		"blobheads": int64(c.BlobHeads), "blobgets": int64(c.BlobGets), "blobbytes": c.BlobBytes,
		"redirects": int64(c.Redirects), "unauthorized": int64(c.Unauthorized), "toomany": int64(c.TooMany),
	}[key]
	return n, ok
}

func digestOf(raw []byte) digest.Digest { return digest.FromBytes(raw) }
