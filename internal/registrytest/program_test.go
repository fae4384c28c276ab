package registrytest

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// host builds the program for this machine in a temporary directory of the test.
func host(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the program is a Linux executable, this is " + runtime.GOOS)
	}
	raw, err := Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(name, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestProgramPrints(t *testing.T) {
	file := host(t)
	for _, row := range []struct {
		name string
		args []string // the first is the program's name
		env  []string
		want string
	}{
		{"by image name", []string{"/bin/hello"}, []string{"HELLO_NAME=docker.io/a:1"}, "hello from docker.io/a:1\n"},
		{"by line", []string{"/bin/hello"}, []string{"HELLO_NAME=x", "HELLO_LINE=a line"}, "a line\n"},
		{"by arguments", []string{"hello", "two", "words"}, nil, "two words\n"},
		{"under another name", []string{"/opt/cni/bin/calico-ipam", "-upgrade"}, nil, "hello from calico-ipam\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), file)
			cmd.Args, cmd.Env = row.args, row.env
			out, err := cmd.Output()
			if err != nil || string(out) != row.want {
				t.Errorf("printed %q, %v, want %q", out, err, row.want)
			}
		})
	}
}

func TestProgramWaits(t *testing.T) {
	file := host(t)
	for _, args := range [][]string{{"/pause"}, {"start_runit"}, {"/usr/bin/kube-controllers"}, {"hello", "sleep"}} {
		cmd := exec.CommandContext(t.Context(), file)
		cmd.Args = args
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		// The signal may arrive before its handler is installed and then ends the process,
		// so the exit code proves little; a program that does not wait prints its greeting.
		_ = cmd.Wait()
		if out.Len() > 0 || cmd.ProcessState.ExitCode() > 0 {
			t.Errorf("%v printed %q and ended with %v", args, out.String(), cmd.ProcessState)
		}
	}
}

func TestProgramForOtherArchitecture(t *testing.T) {
	dir := t.TempDir()
	first, err := program(t.Context(), "arm64", dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(first))
	if err != nil || f.Machine != elf.EM_AARCH64 {
		t.Fatalf("not an arm64 executable: %v", err)
	}
	for _, s := range f.Progs {
		if s.Type == elf.PT_INTERP {
			t.Error("not static: it needs an interpreter")
		}
	}
	if left, err := filepath.Glob(dir + "/build-*"); err != nil || len(left) != 0 {
		t.Errorf("the build left %v, %v", left, err)
	}
	// The second call builds nothing: it works without a go command.
	t.Setenv("PATH", "")
	second, err := program(t.Context(), "arm64", dir)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("second time: %v, same bytes %v", err, bytes.Equal(first, second))
	}
	if _, err := program(t.Context(), "riscv64", dir); err == nil {
		t.Error("built without a go command")
	}
	if _, err := program(t.Context(), "amd64", "/proc/nowhere"); err == nil {
		t.Error("built in a directory that cannot exist")
	}
}
