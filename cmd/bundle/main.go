// Command bundle writes the container images that Kubernetes manifests need into one file,
// for a cluster without a registry. See its --help and docs/.
package main

import (
	"os"
	"runtime/debug"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/completion"
)

// program returns the command with its jobs.
func program() *cli.Program {
	return &cli.Program{
		Name: "bundle",
		Main: runBundle,
		Jobs: map[string]cli.Job{
			"scan":       runScan,
			"rewrite":    runRewrite,
			"inspect":    runInspect,
			"verify":     runVerify,
			"diff":       runDiff,
			"completion": completion.Job(program),
			"sign":       runSign,
		},
		Guesses: map[string][]string{
			"images": {"bundle scan", "bundle"}, "image": {"bundle scan", "bundle"},
			"list": {"bundle scan", "bundle"}, "ls": {"bundle scan", "bundle"},
			"pull": {"bundle"}, "create": {"bundle"}, "build": {"bundle"}, "save": {"bundle"}, "make": {"bundle"},
			"bundle": {"bundle"}, "export": {"bundle"}, "download": {"bundle"}, "pack": {"bundle"}, "run": {"bundle"},
			"show": {"bundle inspect"}, "info": {"bundle inspect"}, "check": {"bundle verify"},
			"lock": {"bundle scan --pin"}, "pin": {"bundle scan --pin"},
			"load": {"load"}, "import": {"load"}, "login": {"docker login"}, "logout": {"docker logout"},
		},
		Interrupted: interrupted,
	}
}

// guesses are flags of docker, kubectl, crane and skopeo, with those that bundle has instead.
var guesses = map[string]string{
	"username": "--creds HOST=USER", "user": "--creds HOST=USER", "u": "--creds HOST=USER",
	"password": "--creds HOST=USER", "password-stdin": "--creds HOST=USER", "p": "--creds HOST=USER", "src-creds": "--creds HOST=USER",
	"arch": "--platform linux/ARCH", "os": "--platform OS/ARCH", "all": "--platform all", "a": "--platform all",
	"registry": "--mirror REG=HOST", "registry-mirror": "--mirror REG=HOST", "proxy": "--mirror REG=HOST",
	"file": "-f", "input": "-f", "manifest": "-f",
	"k": "-f DIR", "kustomize": "-f DIR", "chart": "-f DIR", "name-template": "--release-name NAME",
	"out": "-o", "dest": "-o", "destination": "-o",
	"recurse": "-R", "r": "-R",
	"verbose": "--progress plain", "debug": "--progress plain", "no-progress": "--progress none", "silent": "--quiet", "json": "--progress json",
	"skip-tls-verify": "--insecure HOST", "insecure-skip-tls-verify": "--insecure HOST", "tls-verify": "--insecure HOST",
	"insecure-registry": "--insecure HOST", "cacert": "--ca-file FILE", "cert-dir": "--ca-file FILE", "ca": "--ca-file FILE",
	"config": "--authfile FILE", "j": "--jobs N", "parallel": "--jobs N", "concurrency": "--jobs N", "timeout": "--wait DURATION",
	"ignore": "--exclude PATTERN", "filter": "--include PATTERN", "base": "--since FILE", "cache": "--reuse FILE",
	"continue": "--keep-going", "ignore-errors": "--keep-going", "signatures": "--referrers",
}

const interrupted = "interrupted" // the message of a run that a signal ended

// gcPercent is how much the heap may grow between two collections, percent of what is in
// use. That is small, 9 MB for a bundle of 2000 images, and the program mostly waits for the
// network, so Go's default of 100 would only cost memory.
const gcPercent = 20

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	program().Exit()
}
