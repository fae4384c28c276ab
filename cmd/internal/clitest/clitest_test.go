package clitest

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestEncodings checks that a secret is found whatever surrounds it in the encoded text.
func TestEncodings(t *testing.T) {
	for _, secret := range []string{"s3cret-canary", "abcdef", "seven77", "pass word+&"} {
		hidden := map[string]string{"plain": "user:" + secret + "!", "query": "p=" + url.QueryEscape(secret) + "&x=1"}
		for before := range 4 {
			for behind := range 4 {
				text := strings.Repeat("?", before) + secret + strings.Repeat("\xff", behind)
				hidden[fmt.Sprintf("base64 %d %d", before, behind)] = base64.StdEncoding.EncodeToString([]byte(text))
			}
		}
		for name, text := range hidden {
			found := false
			for _, form := range encodings(secret) {
				found = found || strings.Contains(text, form)
			}
			if !found {
				t.Errorf("%s: %q is not found in %q", name, secret, text)
			}
		}
	}
}

func TestLargest(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, size := range []int{10, 5000, 700} {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Size: int64(size), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The header and the block of the first entry, the header of the second and half of its
	// data.
	if got, want := largest(b.Bytes()), 512+512+512+2500; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

// complaints is a testing.TB that records the errors of Help.
type complaints struct {
	testing.TB
	list []string
}

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.list = append(c.list, fmt.Sprintf(format, args...))
}

func TestHelp(t *testing.T) {
	flags := pflag.NewFlagSet("p", pflag.ContinueOnError)
	flags.StringP("output", "o", "text", "")
	flags.Int("jobs", 8, "")
	flags.Bool("secret", false, "")
	const text = `
  -o, --output FORMAT  text or json
                       (default json)
      --jobs N         at once (default 8)
      --gone           no more
  -h, --help           this text
`
	c := &complaints{TB: t}
	compare(c, text, flags)
	want := []string{
		`--output: the help text has the default "json", the flag "text"`,
		"--secret is not in the help text",
		"--gone of the help text does not exist",
	}
	if strings.Join(c.list, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", c.list, want)
	}
}
