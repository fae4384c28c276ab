//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/bench/meter"
	"stowage/internal/need"
	"stowage/internal/registrytest"
)

// wantError fails the test unless err contains want; an empty want means no error.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v, want no error", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

func TestLeaks(t *testing.T) {
	code := base64.StdEncoding.EncodeToString
	for name, c := range map[string]struct{ text, want string }{
		"nothing":           {"wrote calico.tar for carrier", ""},
		"password":          {"GET https://carrier:" + soakPassword + "@registry/", "credential"},
		"basic login":       {"Authorization: Basic " + code([]byte(soakUser+":"+soakPassword)), "credential"},
		"password encoded":  {code([]byte(soakPassword)), "credential"},
		"inside JSON, by 1": {code([]byte(`{` + soakPassword + `}`)), "credential"},
		"inside JSON, by 2": {code([]byte(`{"` + soakPassword + `"}`)), "credential"},
		"access token":      {"Bearer access-token-7-of-127.0.0.1:1", "credential"},
		"refresh token":     {"refresh-token-1-of-127.0.0.1:1", "credential"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, leaks("the output", []byte(c.text)), c.want) })
	}
}

func TestLeaksInFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal")
	wantError(t, leaksInFile(file), "") // not there
	if err := os.WriteFile(file, []byte("pw "+soakPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, leaksInFile(file), "credential")
}

func TestSane(t *testing.T) {
	said := []byte("load: error: connection refused\n")
	for name, c := range map[string]struct {
		r    ran
		want string
	}{
		"done":                     {ran{code: 0}, ""},
		"failed":                   {ran{code: 1, stderr: said}, ""},
		"the last code":            {ran{code: 7, stderr: said}, ""},
		"undocumented code":        {ran{code: 8, stderr: said}, "undocumented code"},
		"usage":                    {ran{code: 2, stderr: said}, "undocumented code"},
		"no message":               {ran{code: 1}, "without a message"},
		"killed":                   {ran{code: -1, sent: syscall.SIGKILL, signal: syscall.SIGKILL}, ""},
		"a panic's abort":          {ran{code: -1, signal: syscall.SIGABRT}, "killed by"},
		"killed during its start":  {ran{code: -1, sent: syscall.SIGTERM, signal: syscall.SIGTERM, took: startup - 1}, ""},
		"killed by SIGTERM later":  {ran{code: -1, sent: syscall.SIGTERM, signal: syscall.SIGTERM, took: startup}, "killed by"},
		"killed by another signal": {ran{code: -1, sent: syscall.SIGTERM, signal: syscall.SIGSEGV}, "killed by"},
		"memory":                   {ran{peak: peakLimit}, ""},
		"too much memory":          {ran{peak: peakLimit + 1}, "memory"},
		"hung":                     {ran{hung: true}, "did not exit"},
		"password in its output":   {ran{out: []byte(soakPassword)}, "credential"},
		"password in an error":     {ran{code: 1, stderr: []byte(soakPassword)}, "credential"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, c.r.sane(), c.want) })
	}
}

func TestAmong(t *testing.T) {
	r := &ran{line: "load x", code: 3}
	wantError(t, r.among(0, 3), "")
	wantError(t, r.among(0, 6), "exited with 3")
}

// TestRun checks the exit code, both outputs and the memory of a process, and a signal. A
// process that hangs is ended after commandLimit, which no test waits for.
func TestRun(t *testing.T) {
	r, err := command{program: "/bin/sh", args: []string{"-c", "echo out; echo err >&2; sleep 0.2; exit 6"}}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.code != 6 || string(r.out) != "out\n" || string(r.stderr) != "err\n" || r.peak == 0 {
		t.Errorf("got %+v", r)
	}
	r, err = command{program: "/bin/sleep", args: []string{"60"}, signal: syscall.SIGKILL, delay: 10 * time.Millisecond}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.code != -1 || r.signal != syscall.SIGKILL {
		t.Errorf("got %+v", r)
	}
}

func TestParseHighWater(t *testing.T) {
	got, err := parseHighWater("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n")
	if err != nil || got != 1234<<10 {
		t.Errorf("got %d, %v", got, err)
	}
	_, err = parseHighWater("Name:\tx\nState:\tZ (zombie)\n")
	wantError(t, err, "has exited")
}

func TestWasted(t *testing.T) {
	get := func(ref string) registrytest.Entry { return registrytest.Entry{Ref: ref, Status: 200, Counted: true} }
	a, b := get("sha256:a"), get("sha256:b")
	cut, byTag := a, get("v1")
	cut.Note = "cut"
	head := registrytest.Entry{Ref: "sha256:a", Status: 200}
	for name, c := range map[string]struct {
		attempts []attempt
		held     map[string]bool
		want     string
	}{
		"nothing":                       {nil, nil, ""},
		"each once":                     {[]attempt{{entries: []registrytest.Entry{a}}, {entries: []registrytest.Entry{b}}}, nil, ""},
		"twice":                         {[]attempt{{entries: []registrytest.Entry{a}}, {entries: []registrytest.Entry{b, a}}}, nil, "attempt 2 pulled sha256:a, which counts, although attempt 1 has it"},
		"cut before":                    {[]attempt{{entries: []registrytest.Entry{cut}}, {entries: []registrytest.Entry{a}}}, nil, ""},
		"asked without cost":            {[]attempt{{entries: []registrytest.Entry{a}}, {entries: []registrytest.Entry{head}}}, nil, ""},
		"a tag is another matter":       {[]attempt{{entries: []registrytest.Entry{byTag}}, {entries: []registrytest.Entry{byTag}}}, nil, ""},
		"killed, in flight":             {[]attempt{{entries: []registrytest.Entry{b, a}, failed: true, jobs: 1}, {entries: []registrytest.Entry{a}}}, nil, ""},
		"killed, not in flight":         {[]attempt{{entries: []registrytest.Entry{b, a}, failed: true, jobs: 1}, {entries: []registrytest.Entry{b}}}, nil, "attempt 2 pulled sha256:b"},
		"killed with fewer than it can": {[]attempt{{entries: []registrytest.Entry{a}, failed: true, jobs: 8}, {entries: []registrytest.Entry{a}}}, nil, ""},
		"at hand":                       {[]attempt{{entries: []registrytest.Entry{a}}}, map[string]bool{"sha256:a": true}, "a bundle at hand"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, wasted(c.attempts, c.held), c.want) })
	}
}

// tarFile writes a tar of names and contents.
func tarFile(t *testing.T, entries ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: entries[i], Typeflag: tar.TypeReg, Size: int64(len(entries[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(entries[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadingBundles(t *testing.T) {
	index, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{{Annotations: map[string]string{"io.containerd.image.name": "docker.io/a:1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := tarFile(t, "index.json", string(index), "blobs/sha256/aa", "x", "blobs/sha256/bb", "y")
	names, err := namesIn(file)
	if err != nil || !slices.Equal(names, []string{"docker.io/a:1"}) {
		t.Errorf("names %q, %v", names, err)
	}
	held, err := blobsOf(file)
	if err != nil || len(held) != 2 || !held["sha256:aa"] || !held["sha256:bb"] {
		t.Errorf("blobs %v, %v", held, err)
	}
	if _, err := namesIn(tarFile(t, "other", "x")); err == nil {
		t.Error("no index: no error")
	}
}

// TestInspected checks the possible outputs of an attempt.
func TestInspected(t *testing.T) {
	for name, c := range map[string]struct {
		code    int
		left    string // at the output; "-" for nothing
		before  string
		partial string
		want    string
	}{
		"whole":                         {0, "whole", "", "", ""},
		"complete, then killed":         {-1, "whole", "", "", ""},
		"nothing after a failure":       {1, "-", "", "", ""},
		"the older one after a failure": {1, "older", "older", "", ""},
		"success without a file":        {0, "-", "", "", "differs from that of an undisturbed run"},
		"success with other bytes":      {0, "other", "", "", "differs from that of an undisturbed run"},
		"half":                          {1, "who", "", "", "neither a complete bundle nor the previous file"},
		"the older one missing":         {1, "-", "older", "", "neither a complete bundle nor the previous file"},
		"password in a partial file":    {1, "-", "", soakPassword, "credential"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) string {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				digest, _, err := sum(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				return digest
			}
			r := &round{field: &field{out: &memDisk{dir: dir}}, order: &order{ending: ".tar"}, want: &reference{sum: write("reference", "whole")}}
			before := ""
			if c.before != "" {
				before = write("before", c.before)
			}
			if c.left != "-" {
				write("bundle.tar", c.left)
			}
			if c.partial != "" {
				write("bundle.tar.partial", c.partial)
			}
			wantError(t, r.inspected(t.Context(), &ran{code: c.code}, before), c.want)
		})
	}
}

func TestBelieved(t *testing.T) {
	r := &round{}
	for name, c := range map[string]struct {
		code      int
		out, want string
	}{
		"ready":                {0, `{"complete":true,"images":[{"name":"a","criStatus":"ready"}]}`, ""},
		"ready, not complete":  {0, `{"complete":false,"images":[{"name":"a","criStatus":"ready"}]}`, "complete: false"},
		"skipped, complete":    {3, `{"complete":true,"images":[{"name":"a","criStatus":"ready"}],"skipped":[{"name":"b"}]}`, "complete: true"},
		"skipped":              {3, `{"complete":false,"images":[{"name":"a","criStatus":"ready"}],"skipped":[{"name":"b"}]}`, ""},
		"unknown to CRI":       {0, `{"complete":true,"images":[{"name":"a","criStatus":"ready"},{"name":"b","criStatus":"unknown"}]}`, `reports b as "unknown"`},
		"no image":             {0, `{"images":[]}`, "no image"},
		"no report":            {0, ``, "output"},
		"a failure needs none": {1, ``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, r.believed(t.Context(), &ran{code: c.code, out: []byte(c.out)}), c.want)
		})
	}
}

func TestTooMuch(t *testing.T) {
	row := func(images int, peak int64, cpu time.Duration) manyRow {
		r := manyRow{images: images}
		for range manySteps {
			r.costs = append(r.costs, manyCost{meter.Report{Peak: peak, CPU: cpu / 2}, cpu / 2})
		}
		return r
	}
	const base = 10 << 20
	first := row(100, base, time.Second)
	for name, c := range map[string]struct {
		rows []manyRow
		want string
	}{
		"one":                      {[]manyRow{first}, ""},
		"as before":                {[]manyRow{first, row(1000, base+bundleGrowth, 10*cpuGrowth*time.Second)}, ""},
		"memory of bundle":         {[]manyRow{first, row(1000, base+bundleGrowth+1, time.Second)}, "for 1000 images"},
		"more than it may at all":  {[]manyRow{row(100, bundleLimit, time.Second), row(200, bundleLimit+1, time.Second)}, "bundle needs 32.0 MiB of memory for 200 images"},
		"memory of load":           {[]manyRow{first, row(200, base+100*loadGrowth+1, time.Second)}, "load needs 16.3 MiB of memory for 200 images"},
		"with the square of those": {[]manyRow{first, row(1000, base, 100*time.Second)}, "processor time for each of 1000 images"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, tooMuch(c.rows), c.want) })
	}
	if got := manyTable([]manyRow{first}); !strings.Contains(got, "| 100 | 0.00 s, cpu 0.50 s + 0.50 s, 10 MiB |") {
		t.Errorf("table:\n%s", got)
	}
}

// TestDice checks that a seed repeats all choices.
func TestDice(t *testing.T) {
	draw := func(seed uint64) string {
		d := newDice(seed)
		return fmt.Sprint(d.chance(50), d.between(1, 1e6), d.part(time.Hour, 100), pick(d, 1, 2, 3, 4, 5), drawRegistryFaults(d)[0].name)
	}
	if a, b := draw(7), draw(7); a != b {
		t.Errorf("seed 7 returned %s and %s", a, b)
	}
	if draw(7) == draw(8) {
		t.Error("seeds 7 and 8 return the same")
	}
}

func TestMemDisk(t *testing.T) {
	need.Root(t, "mount a file system")
	d, err := mountDisk(filepath.Join(t.TempDir(), "disk"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer d.unmount()
	write := func(name string, size int) error {
		return os.WriteFile(filepath.Join(d.dir, name), make([]byte, size), 0o600)
	}
	if err := errors.Join(write("a", 100<<10), d.leave(50<<10)); err != nil {
		t.Fatal(err)
	}
	if err := write("b", 100<<10); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if err := errors.Join(d.heal(), write("b", 100<<10)); err != nil {
		t.Errorf("after heal: %v", err)
	}
	if err := d.unmount(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(d.dir); err != nil || len(left) != 0 {
		t.Errorf("unmounted, there is %v %v", left, err)
	}
}

// TestHeal checks that every fault, alone and with each other one, leaves the registry as
// it was.
func TestHeal(t *testing.T) {
	h, err := registrytest.New(registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, Accounts: []registrytest.Account{{User: soakUser, Password: soakPassword}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	before := fmt.Sprintf("%+v", h.Policy())
	for _, first := range registryFaults() {
		for _, second := range registryFaults() {
			x := &hurting{Registry: h}
			first.set(newDice(1), x)
			second.set(newDice(2), x)
			x.heal()
			if after := fmt.Sprintf("%+v", h.Policy()); after != before {
				t.Fatalf("after %s and %s the policy is %s, was %s", first.name, second.name, after, before)
			}
		}
	}
}

func TestParseProcessorTime(t *testing.T) {
	got, err := parseProcessorTime("12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20")
	if err != nil || got != 2*time.Second {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "12", "12 (x) S 1 2"} {
		if _, err := parseProcessorTime(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
