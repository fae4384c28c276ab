package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/pull"
	"stowage/pkg/pull/account"
	"stowage/pkg/pull/hosts"
	"stowage/pkg/scan"
)

// registries are the flags of the jobs that talk to registries: where, with which account,
// and for how long.
type registries struct {
	mirrors         map[string][]pull.Mirror
	hosts           map[string]pull.Host
	secrets         []account.Secret // of --registries
	resolveAtOrigin bool
	authFile        string
	logins          []account.Login
	insecure        []string
	ca              []byte // PEM
	wait            time.Duration
	jobs            int

	mirrorFlags, credFlags []string
	caFile                 string
	registriesFile         string // of k3s
	hostsDir               string // of containerd
}

func (r *registries) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&r.mirrorFlags, "mirror", nil, "")
	fs.StringVar(&r.registriesFile, "registries", "", "")
	fs.StringVar(&r.hostsDir, "hosts-dir", "", "")
	fs.BoolVar(&r.resolveAtOrigin, "resolve-at-origin", false, "")
	fs.StringVar(&r.authFile, "authfile", "", "")
	fs.StringArrayVar(&r.credFlags, "creds", nil, "")
	fs.StringArrayVar(&r.insecure, "insecure", nil, "")
	fs.StringVar(&r.caFile, "ca-file", "", "")
	fs.DurationVar(&r.wait, "wait", 0, "")
	fs.IntVar(&r.jobs, "jobs", pull.DefaultJobs, "")
}

// read interprets the flags. With fromStdin, manifests come from standard input, so that a
// password cannot.
func (r *registries) read(stdin io.Reader, fromStdin bool) error {
	switch {
	case r.jobs < 1:
		return cli.Usagef("--jobs %d: want 1 or more", r.jobs)
	case r.wait < 0:
		return cli.Usagef("--wait %s: want a duration such as 6h", r.wait)
	case r.resolveAtOrigin && len(r.mirrorFlags) == 0 && r.registriesFile == "" && r.hostsDir == "":
		return cli.Usagef("--resolve-at-origin: needs a --mirror to take the bytes from")
	}
	r.mirrors = map[string][]pull.Mirror{}
	for _, m := range r.mirrorFlags {
		registry, mirror, err := pull.ParseMirror(m)
		if err != nil {
			return cli.Usagef("--mirror: %w", err)
		}
		r.mirrors[registry] = append(r.mirrors[registry], mirror)
	}
	if err := r.readConfigs(); err != nil {
		return err
	}
	if r.caFile != "" {
		var err error
		if r.ca, err = os.ReadFile(r.caFile); err != nil {
			return cli.Errorf(cli.Failed, "--ca-file: %w", err)
		}
	}
	return r.parseCreds(stdin, fromStdin)
}

// readConfigs reads how the nodes reach their registries: the flags come first, then k3s's
// file, then containerd's directory.
func (r *registries) readConfigs() error {
	all := &hosts.Config{Mirrors: r.mirrors}
	for _, c := range []struct {
		flag, path string
		read       func() (*hosts.Config, error)
	}{
		{"--registries", r.registriesFile, func() (*hosts.Config, error) {
			raw, err := os.ReadFile(r.registriesFile)
			if err != nil {
				return nil, err
			}
			return hosts.ParseRegistries(raw, os.ReadFile)
		}},
		{"--hosts-dir", r.hostsDir, func() (*hosts.Config, error) {
			return hosts.Directory(r.hostsDir, os.ReadDir, os.ReadFile)
		}},
	} {
		if c.path == "" {
			continue
		}
		config, err := c.read()
		if err == nil {
			err = all.Merge(config)
		}
		if err != nil {
			return cli.Errorf(cli.Failed, "%s: %w", c.flag, err)
		}
	}
	r.mirrors, r.hosts, r.secrets = all.Mirrors, all.Hosts, all.Secrets
	return nil
}

// parseCreds reads HOST=USER and each password, from a line of standard input or from a
// file. Every process of the machine could see a password on the command line.
func (r *registries) parseCreds(stdin io.Reader, fromStdin bool) error {
	lines := bufio.NewReader(stdin)
	for _, c := range r.credFlags {
		host, user, ok := strings.Cut(c, "=")
		user, file, fromFile := strings.Cut(user, ":@")
		if !ok || host == "" || user == "" || strings.Contains(user, ":") {
			// The value is not printed: it may contain a password.
			return cli.Usagef("--creds: want HOST=USER with the password on standard input, or HOST=USER:@FILE")
		}
		var password string
		switch {
		case fromFile:
			raw, err := os.ReadFile(file)
			if err != nil {
				return cli.Errorf(cli.Failed, "--creds %s: read the password: %w", host, err)
			}
			password = string(raw)
		case fromStdin:
			return cli.Usagef("--creds %s: -f - reads standard input already; use HOST=USER:@FILE", host)
		default:
			line, err := lines.ReadString('\n')
			if err != nil && line == "" {
				return cli.Usagef("--creds %s: no password on standard input", host)
			}
			password = line
		}
		r.logins = append(r.logins, account.Login{Registry: host, Username: user, Password: account.Redact(strings.TrimRight(password, "\r\n"))})
	}
	return nil
}

// accounts loads all accounts, including those of the manifests.
func (r *registries) accounts(streams cli.Streams, result *scan.Result) (*account.Store, error) {
	store, err := account.Load(account.Options{
		Environment: account.System(streams.Err), Logins: r.logins, AuthFile: r.authFile,
		Secrets: append(secrets(result), r.secrets...),
	})
	if err != nil {
		return nil, &cli.Error{Code: cli.Failed, Err: err}
	}
	return store, nil
}

// pullOptions returns the options of a client; bundle.Make or the caller adds the rest.
func (r *registries) pullOptions(store *account.Store, display *progress.Display) pull.Options {
	return pull.Options{
		Accounts:        store,
		Mirrors:         r.mirrors,
		Hosts:           r.hosts,
		ResolveAtOrigin: r.resolveAtOrigin,
		Insecure:        r.insecure,
		CA:              r.ca,
		UserAgent:       "stowage/" + cli.VersionString(),
		Jobs:            r.jobs,
		Wait:            r.wait,
		OnEvent:         func(n pull.Event) { show(display, n) },
	}
}

func show(display *progress.Display, n pull.Event) {
	if n.Wait > 0 {
		display.Message("%s: %s; trying again in %s, at %s", n.Host, n.Text, n.Wait.Round(100*time.Millisecond), time.Now().Add(n.Wait).Format(time.TimeOnly))
		return
	}
	display.Warning("%s: %s", n.Host, n.Text)
}

// secrets returns the pull secrets of the manifests for the accounts, which prefer those that
// a pod names.
func secrets(result *scan.Result) []account.Secret {
	named := map[string]bool{}
	for _, ref := range result.References {
		for _, s := range ref.PullSecrets {
			named[s] = true
		}
	}
	var out []account.Secret
	for _, s := range result.Secrets {
		out = append(out, account.Secret{
			Namespace: s.Namespace, Name: s.Name, Type: s.Type, Named: named[s.Namespace+"/"+s.Name],
			Payload: s.Payload,
		})
	}
	return out
}

// printLock prints "name:tag@digest" for each image: the lock file. Tags are resolved by
// HEAD, which costs no pulls.
func (r *registries) printLock(ctx context.Context, streams cli.Streams, result *scan.Result) error {
	display, err := progress.New(streams.Err, "bundle", progress.Plain)
	if err != nil {
		return err
	}
	store, err := r.accounts(streams, result)
	if err != nil {
		return err
	}
	opts := r.pullOptions(store, display)
	opts.All = true // a digest names all platforms
	client, err := pull.New(opts)
	if err != nil {
		return err
	}
	var refs []pull.Query
	for _, img := range gather(result) {
		refs = append(refs, pull.Query{Name: img.Name, Secrets: img.Secrets})
	}
	pinned, failures, err := client.Digests(ctx, refs)
	if err != nil {
		return err
	}
	for _, p := range pinned {
		name := p.Name
		if !strings.Contains(name, "@") {
			name += "@" + p.Digest.String()
		}
		if _, err := fmt.Fprintln(streams.Out, name); err != nil {
			return err
		}
	}
	if len(failures) == 0 {
		return nil
	}
	errs := make([]error, len(failures))
	for i, f := range failures {
		errs[i] = f.Err
	}
	return outcome(errors.Join(errs...))
}
