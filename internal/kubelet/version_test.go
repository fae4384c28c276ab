package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// printVersion is what the programs of these tests do with --version.
func printVersion(name string) {
	switch name {
	case "k3s":
		fmt.Println("k3s version v1.35.4+k3s1 (0a1b2c3d)\ngo version go1.26.8")
	case "k3s-agent": // prints without end
		for {
			if _, err := fmt.Println("k3s version v1.35.4+k3s1 (0a1b2c3d)"); err != nil {
				return
			}
		}
	case "k3s-server": // fails
		fmt.Println("v1.2")
		os.Exit(1)
	default:
		if len(os.Environ()) > 0 {
			fmt.Println("the environment is not empty")
			return
		}
		fmt.Println("Kubernetes v1.35.4")
	}
}

func TestAskVersion(t *testing.T) {
	s := newSystem(t)
	for _, test := range []struct{ name, want string }{
		{"kubelet", "v1.35.4"},
		{"k3s", "v1.35.4+k3s1"},
		{"k3s-agent", "v1.35.4+k3s1"},
		{"k3s-server", ""},
		{"kubelet-wrapper", ""}, // not executed
	} {
		s.program("/bin/" + test.name)
		if got := askVersion(t.Context(), s.files+"/bin/"+test.name, test.name); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	if got := askVersion(t.Context(), s.files+"/none/kubelet", "kubelet"); got != "" {
		t.Errorf("no program: got %q", got)
	}

	proof := filepath.Join(t.TempDir(), "proof")
	s.put("/script/kubelet", "#!/bin/sh\n> "+proof+"\necho Kubernetes v1.35.4\n")
	s.check(os.Chmod(s.files+"/script/kubelet", 0o755))
	got := askVersion(t.Context(), s.files+"/script/kubelet", "kubelet")
	if _, err := os.Stat(proof); got != "" || err == nil {
		t.Errorf("a script was executed: %q", got)
	}
}

// TestWords checks the words of a line of systemd, and its variables.
func TestWords(t *testing.T) {
	env := map[string]string{"A": "one two", "EMPTY": "", "Q": "'x y' z"}
	for _, test := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{" a\tb  c ", []string{"a", "b", "c"}},
		{`'a b' "c 'd'" e\ f g\\ ''`, []string{"a b", "c 'd'", "e f", `g\`, ""}},
		{`--x="a b"`, []string{"--x=a b"}},
		{"'open", []string{"open"}},
		{"$A ${A} $EMPTY ${EMPTY} $NONE x", []string{"one", "two", "one two", "", "x"}},
		{"$Q --a=${A}.$$A", []string{"x y", "z", "--a=one two.$A"}},
	} {
		if got := expand(words(test.line), env); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.line, got, test.want)
		}
	}
}
