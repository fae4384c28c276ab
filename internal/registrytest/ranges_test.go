package registrytest_test

import (
	"bytes"
	"fmt"
	"testing"

	"stowage/internal/registrytest"
)

func TestRanges(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	whole := ask(t, "GET", layerURL(h, a)).body
	const size = 5632
	for _, row := range []struct {
		header      string
		status      int
		first, last int // expected bytes
	}{
		{"", 200, 0, size - 1},
		{"bytes=0-0", 206, 0, 0},
		{"bytes=0-9", 206, 0, 9},
		{"bytes=600-", 206, 600, size - 1},
		{"bytes=0-", 206, 0, size - 1},
		{"bytes=-1", 206, size - 1, size - 1},
		{"bytes=-99999", 206, 0, size - 1},
		{"bytes=5631-5631", 206, size - 1, size - 1},
		{"bytes=5631-5632", 206, size - 1, size - 1},
		{"bytes=5632-5632", 416, 0, -1},
		{"bytes=5632-", 416, 0, -1},
		{"bytes=-0", 416, 0, -1},
		{"bytes=9-5", 200, 0, size - 1},
		{"bytes=0-1,5-6", 200, 0, size - 1},
		{"bytes=a-5", 200, 0, size - 1},
		{"bytes=5-a", 200, 0, size - 1},
		{"bytes=-a", 200, 0, size - 1},
		{"bytes=-", 200, 0, size - 1},
		{"bytes=5", 200, 0, size - 1},
		{"lines=0-1", 200, 0, size - 1},
	} {
		t.Run(row.header, func(t *testing.T) {
			r := ask(t, "GET", layerURL(h, a), header("Range", row.header))
			wantStatus(t, r, row.status)
			label := map[int]string{
				200: "", 206: fmt.Sprintf("bytes %d-%d/%d", row.first, row.last, size), 416: "bytes */5632",
			}[row.status]
			if got := r.Header.Get("Content-Range"); got != label {
				t.Errorf("Content-Range %q, want %q", got, label)
			}
			if row.status < 300 && !bytes.Equal(r.body, whole[row.first:row.last+1]) {
				t.Errorf("got %d bytes that are not %d to %d", len(r.body), row.first, row.last)
			}
		})
	}
	r := ask(t, "HEAD", layerURL(h, a), header("Range", "bytes=0-9"))
	if r.StatusCode != 200 || r.ContentLength != size {
		t.Errorf("HEAD with a range: %d with length %d, want the whole blob", r.StatusCode, r.ContentLength)
	}
}

func TestRangeModes(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	whole := ask(t, "GET", layerURL(h, a)).body
	const size = 5632
	for _, row := range []struct {
		name   string
		mode   registrytest.RangeMode
		header string
		status int
		label  string
		from   int // offset of the bytes sent
		length int
	}{
		{"honoured", registrytest.RangesHonoured, "bytes=10-19", 206, "bytes 10-19/5632", 10, 10},
		{"ignored", registrytest.RangesIgnored, "bytes=10-19", 200, "", 0, size},
		{"closed only, closed", registrytest.RangesClosedOnly, "bytes=10-19", 206, "bytes 10-19/5632", 10, 10},
		{"closed only, open", registrytest.RangesClosedOnly, "bytes=10-", 416, "bytes */5632", 0, 0},
		{"bad request", registrytest.RangesBadRequest, "bytes=10-19", 400, "", 0, 0},
		{"forbidden", registrytest.RangesForbidden, "bytes=10-19", 403, "", 0, 0},
		{"unsatisfiable", registrytest.RangesUnsatisfiable, "bytes=10-19", 416, "bytes */5632", 0, 0},
		{"wrong header", registrytest.RangesWrongHeader, "bytes=10-19", 206, "bytes 11-20/5632", 10, 10},
		{"wrong bytes", registrytest.RangesWrongBytes, "bytes=10-19", 206, "bytes 10-19/5632", 9, 10},
		{"wrong bytes at the start", registrytest.RangesWrongBytes, "bytes=0-9", 206, "bytes 0-9/5632", 1, 10},
		{"wrong bytes of all", registrytest.RangesWrongBytes, "bytes=0-", 206, "bytes 0-5631/5632", 0, size},
		{"short", registrytest.RangesShort, "bytes=10-19", 206, "bytes 10-14/5632", 10, 5},
		{"short of one", registrytest.RangesShort, "bytes=10-10", 206, "bytes 10-10/5632", 10, 1},
		{"any mode without a range", registrytest.RangesForbidden, "", 200, "", 0, size},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.SetFaults(func(f *registrytest.Faults) { f.Ranges = row.mode })
			r := ask(t, "GET", layerURL(h, a), header("Range", row.header))
			wantStatus(t, r, row.status)
			if got := r.Header.Get("Content-Range"); got != row.label {
				t.Errorf("Content-Range %q, want %q", got, row.label)
			}
			if row.status < 300 && !bytes.Equal(r.body, whole[row.from:row.from+row.length]) {
				t.Errorf("got %d bytes that are not %d from %d", len(r.body), row.length, row.from)
			}
		})
	}
}

func TestCorruptRange(t *testing.T) {
	h, a, _ := startTwo(t, registrytest.Policy{})
	whole := ask(t, "GET", layerURL(h, a)).body
	h.SetFaults(func(f *registrytest.Faults) { f.Corrupt = registrytest.Always })
	for _, row := range []struct {
		header      string
		first, last int
		wrong       bool // contains the byte in the middle, 2816
	}{
		{"bytes=0-2815", 0, 2815, false},
		{"bytes=2816-2816", 2816, 2816, true},
		{"bytes=2817-", 2817, 5631, false},
	} {
		r := ask(t, "GET", layerURL(h, a), header("Range", row.header))
		if got := !bytes.Equal(r.body, whole[row.first:row.last+1]); got != row.wrong {
			t.Errorf("%s wrong: %v, want %v", row.header, got, row.wrong)
		}
	}
}
