// Package clitest is shared by the tests of the two commands: the commands of their
// scripts, the built programs, and the measurement of a process.
//
// A script is a file in testdata (see the package testscript of go-internal):
//
//	registry start auth=bearer anonymous=refuse account=ann:s3cret
//	registry calico
//	login config.json ann s3cret
//	exec bundle -f calico.yaml -o calico.tar --mirror docker.io=$REGISTRY
//	registry counts heads=3 counted>=3
//
// A script has the commands of testscript and those of [Cmds]. It sees no account, setting
// or network of the machine: only the loopback interface answers.
package clitest

import (
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"stowage/internal/registrytest"
)

var update = flag.Bool("update", false, "write the output of the commands to the golden files of the scripts")

// nowhere is the discard port of this machine, which has no listener.
const nowhere = "http://127.0.0.1:9"

// Cmd is a command of scripts.
type Cmd = func(ts *testscript.TestScript, neg bool, args []string)

// Run runs every script of a directory as a subtest, in parallel, with further commands and
// variables.
func Run(t *testing.T, dir string, more map[string]Cmd, env map[string]string) {
	t.Helper()
	cmds := Cmds()
	maps.Copy(cmds, more)
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			if err := isolate(e); err != nil {
				return err
			}
			for k, v := range env {
				e.Setenv(k, v)
			}
			return nil
		},
		Cmds:                cmds,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// Cmds returns the commands that every script has.
func Cmds() map[string]Cmd {
	return map[string]Cmd{
		"exits":     exits,
		"registry":  registryCommand,
		"login":     login,
		"same":      same,
		"keep":      keep,
		"untouched": untouched,
		"cut":       cut,
		"flip":      flip,
		"jsonlines": jsonLines,
		"only":      only,
		"canary":    canary,
		"serve":     serve,
		"socket":    socket,
	}
}

// isolate sets up the environment of a script. The environment of testscript contains no
// accounts; the proxy makes requests to other machines fail at once.
func isolate(e *testscript.Env) error {
	home := filepath.Join(e.WorkDir, ".home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	for k, v := range map[string]string{"HOME": home, "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere} {
		e.Setenv(k, v)
	}
	t, ok := e.T().(testing.TB)
	if !ok {
		return errors.New("not running under go test")
	}
	e.Values[stateKey{}] = &state{t: t, kept: map[string]fingerprint{}}
	return nil
}

// state is the state of one script.
type state struct {
	t        testing.TB
	registry *registrytest.Registry // nil before registry start
	kept     map[string]fingerprint
}

type stateKey struct{}

func stateOf(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

// Environ returns an environment for programs that a test starts itself, as isolated as
// that of a script, with home as the user's home directory.
func Environ(home string, more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "HTTP_PROXY=" + nowhere, "HTTPS_PROXY=" + nowhere}
	return append(env, more...)
}
