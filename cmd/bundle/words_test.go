package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stowage/cmd/internal/cli"
)

// workplace changes to a directory with manifests and the other files that people have.
func workplace(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"m", "nginx"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: \"ghcr.io/acme/a:1\", imagePullPolicy: IfNotPresent}]}\n"
	files := map[string]string{
		"calico.yaml": pod, "m/a.yaml": pod, "m/b.yaml": pod, "a,b.yaml": pod, "redis": pod,
		"old.tar": strings.Repeat("\x00", 257) + "ustar\x00", "x.gz": "\x1f\x8b\x08", "tmpl.yaml": "{{ if .Values.x }}\na: b\n{{ end }}\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// TestGuessedLines: a line that is not right ends before any request, with exit code 2, and
// the error or its hint says what to do. A request would end with another code: this machine
// is its own proxy, and nothing listens there.
func TestGuessedLines(t *testing.T) {
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(v, "http://127.0.0.1:9")
	}
	workplace(t)
	tests := []struct{ args, want string }{
		// A file is no image.
		{"calico.yaml", `try "bundle -f calico.yaml -o calico.tar"`},
		{"calico.yaml", "calico.yaml is a file, not an image"},
		{"-o x.tar calico.yaml", `try "bundle -o x.tar -f calico.yaml"`},
		{"m/a.yaml m/b.yaml -o x.tar --only required", `try "bundle -f m/a.yaml -f m/b.yaml -o x.tar --only required"`},
		{"m/ -o x.tar", `try "bundle -f m/ -o x.tar"`},
		{"nginx", `nginx is a directory, not an image; write nginx:latest for the image`},
		{"nginx", `try "bundle -f nginx -o nginx.tar"`},
		{"redis -o x.tar", "redis is a file, not an image; write redis:latest for the image"},
		{"-f calico.yaml m -o x.tar", `try "bundle -f calico.yaml -f m -o x.tar"`},
		{"calcio.yaml -o x.tar", "calcio.yaml: no such file"},
		{"old.tar -o x.tar", `"bundle inspect old.tar" shows what is in it`},
		{"old.tar -f calico.yaml -o x.tar", "old.tar is a tar file, neither an image nor a manifest"},
		{"- -o x.tar", `try "bundle -f - -o x.tar"`},
		// Addresses.
		{"docker://ghcr.io/acme/app:1 -o x.tar", `try "bundle ghcr.io/acme/app:1 -o x.tar"`},
		{"https://ghcr.io/acme/app:1 busybox -o x.tar", `try "bundle ghcr.io/acme/app:1 busybox -o x.tar"`},
		{"http://h/calico.yaml", `try "bundle -f http://h/calico.yaml -o calico.tar"`},
		{"https://ann:canary@h/calico.yaml?token=canary -o x.tar", `try "bundle -f 'https://[redacted]@h/calico.yaml?[redacted]' -o x.tar"`},
		{"docker://ann:canary@h/app -o x.tar", `docker://[redacted]@h/app: an image is named without "docker://"`},
		// Words for commands.
		{"images -f calico.yaml -o x.tar", `did you mean "bundle scan -f calico.yaml" or "bundle -f calico.yaml -o x.tar"?`},
		{"list", `"list" is not a command of bundle`},
		{"pull -f calico.yaml -o x.tar", `did you mean "bundle -f calico.yaml -o x.tar"?`},
		{"create -f calico.yaml -o x.tar", `did you mean "bundle -f calico.yaml -o x.tar"?`},
		{"build -f calico.yaml -o x.tar", `did you mean "bundle -f calico.yaml -o x.tar"?`},
		{"save busybox -o x.tar", `did you mean "bundle busybox -o x.tar"?`},
		{"load x.tar", `that is "load"`},
		{"login", `that is "docker login"`},
		{"scna -f calico.yaml", `did you mean "bundle scan -f calico.yaml"?`},
		{"inspct old.tar", `did you mean "bundle inspect old.tar"?`},
		{"-f calico.yaml scan", `try "bundle scan -f calico.yaml"`},
		{"-f calico.yaml -o x.tar images", `"images" is not a command of bundle`},
		{"help imges", `"bundle --help"`},
		// The output.
		{"-f calico.yaml", `try "bundle -f calico.yaml -o calico.tar"`},
		{"-f m/*.yaml", `-o m.tar"`},
		{"-f https://h/x/calico.yaml?v=1", `-o calico.tar"`},
		{"-f -", `try "bundle -f - -o bundle.tar"`},
		{"ghcr.io/acme/app:1.2", `try "bundle ghcr.io/acme/app:1.2 -o app.tar"`},
		{"-f calico.yaml -o json", `"bundle inspect -o json FILE"`},
		{"-f calico.yaml --output wide", "-o wide: the name of the bundle's file, not a format"},
		{"-f calico.yaml -o calico.yaml", "-o calico.yaml: would replace a manifest"},
		// Flags.
		{"--username ann", `did you mean "--creds HOST=USER"?`},
		{"-p canary", `did you mean "--creds HOST=USER"?`},
		{"--arch arm64", `did you mean "--platform linux/ARCH"?`},
		{"--registry h", `did you mean "--mirror REG=HOST"?`},
		{"--file x", `did you mean "-f"?`},
		{"--out x", `did you mean "-o"?`},
		{"--verbose", `did you mean "--progress plain"?`},
		{"--plattform x", `did you mean "--platform"?`},
		{"--creds ann:canary -f x -o y", "--creds: want HOST=USER"},
		{"scan --verbose calico.yaml", `"bundle scan --help"`},
		{"rewrite calico.yaml", `try "bundle rewrite calico.yaml -o calico-gap.yaml"`},
		{"verify -f old.tar", `did you mean "bundle verify old.tar"?`},
		{"verify old.tar new.tar", `try "bundle verify old.tar && bundle verify new.tar"`},
		{"diff old.tar", "diff: want OLD and NEW, got 1"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var out, stderr strings.Builder
			code := program().Run(t.Context(), strings.Fields(tt.args), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &stderr})
			if text := stderr.String(); code != cli.Usage || out.Len() > 0 || !strings.Contains(text, tt.want) || !strings.Contains(text, "--help") {
				t.Errorf("got %d, %q, standard error %s", code, out.String(), text)
			}
			if strings.Contains(stderr.String(), "canary") {
				t.Errorf("a credential is printed: %s", stderr.String())
			}
		})
	}
}

// TestGuessedInput: forms of input that work, and files that are no manifests.
func TestGuessedInput(t *testing.T) {
	workplace(t)
	tests := []struct {
		args, want string
		code       int
	}{
		{"scan calico.yaml", "ghcr.io/acme/a:1\n", cli.OK},
		{"scan -f m/a.yaml m/b.yaml", "ghcr.io/acme/a:1\n", cli.OK},
		{"scan m --exclude */nosuch", "warning: --exclude \"*/nosuch\": matches no image\nghcr.io/acme/a:1\n", cli.OK},
		{"scan m --exclude *acme* --exclude ghcr.io/*", "", cli.OK},
		{"scan m", "ghcr.io/acme/a:1\n", cli.OK},
		{"scan redis", "ghcr.io/acme/a:1\n", cli.OK},
		{"-q -f calico.yaml --explain-auth --mirror ghcr.io=127.0.0.1:9", "ghcr.io/acme/a:1\n", cli.OK},
		{"scan -f nosuch/*.yaml", `-f "nosuch/*.yaml": matches no file`, cli.Failed},
		{"scan -f old.tar", "old.tar is a tar file, not a manifest", cli.Failed},
		{"scan -f x.gz,calico.yaml", "x.gz is compressed with gzip, not a manifest", cli.Failed},
		{"-f old.tar -o x.tar", "old.tar is a tar file, not a manifest", cli.Failed},
		{"-f tmpl.yaml -o x.tar", "helm template", cli.Failed},
		{"inspect nosuch.tar", "error: nosuch.tar: no such file\n", cli.Failed},
		{"verify nosuch.tar", "error: nosuch.tar: no such file\n", cli.Failed},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var out strings.Builder
			code := program().Run(t.Context(), strings.Fields(tt.args), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
			if code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("got %d, %s", code, out.String())
			}
		})
	}
}

// TestSourcesOfBundle: what -f and the words behind it name.
func TestSourcesOfBundle(t *testing.T) {
	workplace(t)
	tests := []struct{ args, sources, images string }{
		{"-f calico.yaml -o x", "calico.yaml", ""},
		{"-f m/a.yaml m/b.yaml -o x", "m/a.yaml m/b.yaml", ""},
		{"-f m/a.yaml -o x m/b.yaml busybox", "m/a.yaml m/b.yaml", "busybox"},
		{"-f m/a.yaml,m/b.yaml -o x", "m/a.yaml m/b.yaml", ""},
		{"-f m/*.yaml -o x", "m/a.yaml m/b.yaml", ""},
		{"-f m/?.yaml,calico.yaml -o x", "m/a.yaml m/b.yaml calico.yaml", ""},
		{"-f a,b.yaml -o x", "a,b.yaml", ""},
		{"-f https://h/a,b?c=d,e,https://h/*,calico.yaml -o x", "https://h/a,b?c=d,e https://h/* calico.yaml", ""},
		{"-f m https://h/x.yaml -o x", "m https://h/x.yaml", ""},
		{"-f calico.yaml redis redis:7 nginx:1 -o x", "calico.yaml redis", "redis:7 nginx:1"},
		{"busybox team/list calico.yaml:v1 docker.io/library/scan -o x", "", "busybox team/list calico.yaml:v1 docker.io/library/scan"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			s, err := parseBundle(t.Context(), strings.Fields(tt.args), cli.Streams{In: strings.NewReader("")})
			if err != nil {
				t.Fatal(err)
			}
			var images []string
			for _, img := range s.request.Images {
				images = append(images, img.Name)
			}
			if !slices.Equal(s.sources, strings.Fields(tt.sources)) || !slices.Equal(images, strings.Fields(tt.images)) {
				t.Errorf("got %q, %q", s.sources, images)
			}
		})
	}
}
