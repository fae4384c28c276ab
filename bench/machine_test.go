//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestProcValue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status")
	text := "Name:\tx: y\nVmHWM:\t    12 kB\nmodel name\t: Some CPU\nno colon\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Name": "x: y", "VmHWM": "12 kB", "model name": "Some CPU", "no colon": "", "Vm": "",
	} {
		if got := procValue(file, key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if got := procValue(file+"-missing", "Name"); got != "" {
		t.Errorf("missing file: got %q", got)
	}
	if got := firstLine(file); got != "Name:\tx: y" {
		t.Errorf("first line %q", got)
	}
	if got := firstLine(file + "-missing"); got != "" {
		t.Errorf("first line of a missing file: %q", got)
	}
}

func TestFileSystem(t *testing.T) {
	for path, want := range map[string]string{"/proc": "type 0x9fa0", "/nowhere/at/all": "unknown"} {
		if got := fileSystem(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestMachineFigures(t *testing.T) {
	for name, c := range map[string]struct{ got, want string }{
		"memory":       {memory(), `^[0-9.]+ GiB$`},
		"load average": {loadAverage(), `^[0-9.]+ [0-9.]+ [0-9.]+$`},
		"noise":        {noiseNote([]float64{0.5, 0.1}), `^During .* used 0\.30 \(0\.10-0\.50\) of [0-9]+ cores; .*\.\n$`},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.got) {
			t.Errorf("%s: %q does not match %s", name, c.got, c.want)
		}
	}
	if all, own := machineTime(), ownTime(); all <= 0 || own <= 0 {
		t.Errorf("processors were busy for %v, this process for %v, want more than 0", all, own)
	}
}

func TestDaemonPeak(t *testing.T) {
	if n, err := daemonPeak(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("this process: %d bytes, %v", n, err)
	}
	if _, err := daemonPeak(-1); err == nil || !strings.Contains(err.Error(), "process -1") {
		t.Errorf("no such process: got %v", err)
	}
}
