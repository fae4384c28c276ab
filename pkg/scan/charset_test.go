package scan

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

// wide returns a text as UTF-16 with a byte order mark.
func wide(text string, order binary.AppendByteOrder) string {
	var out []byte
	for _, u := range utf16.Encode([]rune("\uFEFF" + text)) {
		out = order.AppendUint16(out, u)
	}
	return string(out)
}

// TestUTF8Reader decodes inputs with and without a mark, also read byte by byte.
func TestUTF8Reader(t *testing.T) {
	for _, tc := range []struct {
		name, src, want string
		skipped         int
		wide            bool
	}{
		{"empty", "", "", 0, false},
		{"one byte", "a", "a", 0, false},
		{"no mark", "a: é\n", "a: é\n", 0, false},
		{"UTF-8 mark", "\uFEFFa: é\n", "a: é\n", 3, false},
		{"mark alone", "\uFEFF", "", 3, false},
		{"half a mark", "\xEF\xBB", "\xEF\xBB", 0, false},
		{"mark inside", "a\uFEFFb", "a\uFEFFb", 0, false},
		{"not UTF-8", "a\xFFb", "a\xFFb", 0, false},
		{"little endian", wide("a: é😀\n", binary.LittleEndian), "a: é😀\n", 2, true},
		{"big endian", wide("a: é😀\n", binary.BigEndian), "a: é😀\n", 2, true},
		{"wide mark alone", "\xFF\xFE", "", 2, true},
		{"odd last byte", "\xFF\xFEa\x00b", "a\uFFFD", 2, true},
		{"high surrogate alone", "\xFF\xFE\x3D\xD8a\x00", "\uFFFDa", 2, true},
		{"high surrogate at the end", "\xFF\xFEa\x00\x3D\xD8", "a\uFFFD", 2, true},
		{"low surrogate alone", "\xFE\xFF\xDE\x00\x00a", "\uFFFDa", 2, true},
		{"two high surrogates", "\xFF\xFE\x3D\xD8\x3D\xD8\x00\xDE", "\uFFFD😀", 2, true},
		{"long", wide(strings.Repeat("é😀x", 40000), binary.BigEndian), strings.Repeat("é😀x", 40000), 2, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once":      strings.NewReader(tc.src),
				"in halves":    iotest.HalfReader(strings.NewReader(tc.src)),
				"data and EOF": iotest.DataErrReader(strings.NewReader(tc.src)),
			} {
				out, skipped, isWide := utf8Reader(r)
				got, err := io.ReadAll(out)
				if err != nil || string(got) != tc.want || skipped != tc.skipped || isWide != tc.wide {
					t.Errorf("%s: %.40q, skipped %d, wide %v, %v; want %.40q", name, got, skipped, isWide, err, tc.want)
				}
			}
			if len(tc.src) > 1000 {
				return
			}
			out, _, _ := utf8Reader(strings.NewReader(tc.src))
			if got, err := io.ReadAll(iotest.OneByteReader(out)); err != nil || string(got) != tc.want {
				t.Errorf("read byte by byte: %q, %v", got, err)
			}
		})
	}
}

// TestUTF16Error returns an error of the input after the text before it.
func TestUTF16Error(t *testing.T) {
	in := io.MultiReader(strings.NewReader("\xFF\xFEa\x00b\x00"), iotest.ErrReader(io.ErrClosedPipe))
	out, _, _ := utf8Reader(in)
	got, err := io.ReadAll(out)
	if string(got) != "ab" || err != io.ErrClosedPipe {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestWideManifest scans the same manifest in UTF-8 and UTF-16: positions are the same, and
// a rewrite leaves UTF-16 alone.
func TestWideManifest(t *testing.T) {
	src := "kind: Pod\nspec:\n  title: é 😀\n  containers: [{name: é, image: demo/app:1}]\n"
	plain, err := scanString(t, Options{}, src)
	if err != nil || len(plain.References) != 1 || plain.References[0].Column != 34 {
		t.Fatalf("%v, %+v", err, plain.References)
	}
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		in := wide(src, order)
		res, err := scanString(t, Options{}, in)
		if err != nil || render(res, nil) != render(plain, nil) {
			t.Errorf("%s: %v\n%s", name, err, render(res, err))
		}
		opts := RewriteOptions{Digests: lockAll(res)}
		out, edits, err := Rewrite([]byte(in), opts)
		if err != nil || !bytes.Equal(out, []byte(in)) || len(edits) != 1 || edits[0].Skipped != skipUTF16 {
			t.Errorf("%s: rewrite %v, %+v", name, err, edits)
		}
	}
}
