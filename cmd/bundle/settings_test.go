package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/cmd/internal/cli"
	"stowage/pkg/bundle"
)

func ptr(n int) *int { return &n }

// TestParseBundle: what each flag means for the request and the options.
func TestParseBundle(t *testing.T) {
	const dg = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	list := filepath.Join(t.TempDir(), "have.txt")
	if err := os.WriteFile(list, []byte("# of node 1\n\n"+dg+" # a layer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	arm := []ocispec.Platform{{OS: "linux", Architecture: "arm64"}}
	stdout := &strings.Builder{}
	tests := []struct {
		args    string
		request bundle.Request
		options bundle.Options
	}{
		{"-f a.yaml -o out.tar", bundle.Request{Output: "out.tar"}, bundle.Options{}},
		{"busybox -o out.tar", bundle.Request{Output: "out.tar", Images: []bundle.Image{{Name: "busybox", Required: true}}}, bundle.Options{}},
		{"-f a -o -", bundle.Request{Output: "-", Writer: stdout}, bundle.Options{}},
		{"-f a -o /dev/stdout", bundle.Request{Output: "-", Writer: stdout}, bundle.Options{}},
		{"-f a -o b --flat --referrers", bundle.Request{Output: "b", Flat: true, Referrers: true}, bundle.Options{}},
		{"-f a -o b --platform all", bundle.Request{Output: "b", All: true}, bundle.Options{}},
		{"-f a -o b --since old.tar --since older.tar --have " + list, bundle.Request{Output: "b", Since: []string{"old.tar", "older.tar"}, Have: []digest.Digest{dg}}, bundle.Options{}},
		{"-f a -o b --reuse c --strict", bundle.Request{Output: "b"}, bundle.Options{Reuse: []string{"c"}, Strict: true}},
		{"-f a --dry-run --keep-going", bundle.Request{}, bundle.Options{DryRun: true, KeepGoing: true}},
		{"-f a -o b --max-pulls 0", bundle.Request{Output: "b"}, bundle.Options{MaxPulls: ptr(0)}},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			args := strings.Fields(tt.args)
			if !tt.request.All {
				args = append(args, "--platform", "linux/arm64")
				tt.request.Platforms = arm
			}
			s, err := parseBundle(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: stdout, Err: stdout})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.request, s.request, cmpopts.IgnoreUnexported(strings.Builder{})); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.options, s.options); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

// TestParseBundleRefuses: contradictions and values that are not valid are usage errors, a
// file that cannot be read is not.
func TestParseBundleRefuses(t *testing.T) {
	list := filepath.Join(t.TempDir(), "have.txt")
	if err := os.WriteFile(list, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args, want string
		code       int
	}{
		{"", "nothing to bundle", cli.Usage},
		{"-f a", "no output", cli.Usage},
		{"-f a -o b --keep-going --strict", "contradict", cli.Usage},
		{"-f a -o b --max-pulls -1", "--max-pulls -1: want 0 or more", cli.Usage},
		{"-f a -o b --platform amd64", `--platform "amd64": want OS/ARCH`, cli.Usage},
		{"-f a -o b --only all", `--only "all": want required`, cli.Usage},
		{"-f a -o b --jobs 0", "--jobs 0: want 1 or more", cli.Usage},
		{"-f a -o b --wait -1s", "--wait -1s: want a duration", cli.Usage},
		{"-f a -o b --mirror x", "--mirror: ", cli.Usage},
		{"-f a -o b --resolve-at-origin", "--resolve-at-origin: needs a --mirror", cli.Usage},
		{"-f a -o b --creds x", "--creds: want HOST=USER", cli.Usage},
		{"-f a -o b --creds h=u:secret", "--creds: want HOST=USER", cli.Usage},
		{"-f a -o b --creds h=u", "--creds h: no password on standard input", cli.Usage},
		{"-f - -o b --creds h=u", "-f - reads standard input already", cli.Usage},
		{"-f a -o b --nothing", "unknown flag", cli.Usage},
		{"-f a -o b --have " + list, `have.txt:1: "x": `, cli.Failed},
		{"-f a -o b --have nowhere", "--have: open nowhere", cli.Failed},
		{"-f a -o b --ca-file nowhere", "--ca-file: open nowhere", cli.Failed},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var out strings.Builder
			_, err := parseBundle(t.Context(), strings.Fields(tt.args), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
			var e *cli.Error
			if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want code %d and %q", err, tt.code, tt.want)
			}
			if strings.Contains(out.String()+err.Error(), "secret") {
				t.Error("the password is printed")
			}
		})
	}
}
