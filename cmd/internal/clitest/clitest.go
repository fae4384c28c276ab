// Package clitest is what the tests of the two commands share: the parts that their
// scripts are made of, the programs as they are built, and the measuring of a process.
//
// A script is a story in a file of testdata (see the package testscript of go-internal):
//
//	registry start auth=bearer anonymous=refuse account=ann:s3cret
//	registry calico
//	login config.json ann s3cret
//	exec bundle -f calico.yaml -o calico.tar --mirror docker.io=$REGISTRY
//	registry counts heads=3 counted>=3
//
// Beside the commands of testscript a script has those of [Cmds]. It sees no account, no
// setting and no network of the machine it runs on: only the loopback interface answers.
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

var update = flag.Bool("update", false, "write what the commands print into the scripts' golden parts")

// nowhere is the discard port of this machine: nobody answers there.
const nowhere = "http://127.0.0.1:9"

// Cmd is a command of scripts.
type Cmd = func(ts *testscript.TestScript, neg bool, args []string)

// Run runs every script of a folder as a subtest, in parallel. Further commands and
// variables may be added to those of all scripts.
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

// Cmds are the commands that every script has.
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

// isolate gives a script an environment of its own. What testscript starts from has no
// account in it already; the proxy makes sure that a request to the outside fails at once.
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
		return errors.New("not run by go test")
	}
	e.Values[stateKey{}] = &state{t: t, kept: map[string]fingerprint{}}
	return nil
}

// state is what the commands of one script remember.
type state struct {
	t        testing.TB
	registry *registrytest.Registry // nil before registry start
	kept     map[string]fingerprint
}

type stateKey struct{}

func stateOf(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

// Environ is an environment for programs that a test starts by itself, as isolated as
// that of a script, with home as the user's folder.
func Environ(home string, more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "HTTP_PROXY=" + nowhere, "HTTPS_PROXY=" + nowhere}
	return append(env, more...)
}
