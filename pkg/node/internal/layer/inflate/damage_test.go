package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// small are streams that can be damaged in every place: all kinds of blocks, all fields
// of a header, several members.
func small(t testing.TB) map[string][]byte {
	t.Helper()
	var named bytes.Buffer
	w := stdgzip.NewWriter(&named)
	w.Header = stdgzip.Header{Name: "name", Comment: "comment", Extra: []byte("extra"), OS: 3, ModTime: time.Unix(1, 0)}
	if _, err := w.Write([]byte("with a header")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dynamic := compressed(t, 9, words(2000))
	return map[string][]byte{
		"fixed":       compressed(t, 9, []byte("abcabcabc abcabcabcd")),
		"dynamic":     dynamic,
		"no matches":  compressed(t, stdgzip.HuffmanOnly, words(500)),
		"stored":      compressed(t, 0, words(200)),
		"long match":  compressed(t, 9, make([]byte, 3000)),
		"header":      named.Bytes(),
		"header sum":  withHeaderSum(named.Bytes()),
		"two members": append(compressed(t, 6, []byte("one one one one")), dynamic...),
	}
}

func TestTruncated(t *testing.T) {
	for name, stream := range small(t) {
		for n := range stream {
			want := cut
			if n == 0 {
				want = nothing
			}
			v, _ := same(t, fmt.Sprintf("%s, %d of %d bytes", name, n, len(stream)), stream[:n])
			if v != want && name != "two members" {
				t.Errorf("%s, %d of %d bytes: %s", name, n, len(stream), v)
			}
		}
	}
}

func TestFlippedBits(t *testing.T) {
	seen := map[verdict]int{}
	for name, stream := range small(t) {
		for bit := range 8 * len(stream) {
			damaged := bytes.Clone(stream)
			damaged[bit/8] ^= 1 << (bit % 8)
			v, _ := same(t, fmt.Sprintf("%s, bit %d", name, bit), damaged)
			seen[v]++
		}
	}
	for _, v := range []verdict{valid, cut, header, corrupt, checksum} {
		if seen[v] == 0 {
			t.Errorf("no bit leads to: %s", v)
		}
	}
	t.Log(seen)
}

// TestDamagedBlocks damages long streams at random, so that it shows in the middle of the
// fast loop as well, and puts pieces of some into others.
func TestDamagedBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var streams [][]byte
	for _, content := range [][]byte{words(60_000), machine(60_000), noise(10_000)} {
		for _, level := range levels {
			streams = append(streams, compressed(t, level, content))
		}
	}
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for i := range rounds {
		s := bytes.Clone(streams[r.IntN(len(streams))])
		for range 1 + r.IntN(3) {
			at := 10 + r.IntN(len(s)-10)
			switch r.IntN(3) {
			case 0:
				s[at] ^= 1 << r.IntN(8)
			case 1:
				s[at] = byte(r.Uint32())
			case 2:
				other := streams[r.IntN(len(streams))]
				from := r.IntN(len(other))
				copy(s[at:], other[from:min(len(other), from+r.IntN(400))])
			}
		}
		same(t, fmt.Sprint("round ", i), s)
	}
}
