package main

import (
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
	pull   pull.Options
	logins account.Options

	mirrors, creds []string
	caFile         string
	registriesFile string // of k3s
	hostsDir       string // of containerd
}

func (r *registries) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&r.mirrors, "mirror", nil, "")
	fs.StringVar(&r.registriesFile, "registries", "", "")
	fs.StringVar(&r.hostsDir, "hosts-dir", "", "")
	fs.BoolVar(&r.pull.ResolveAtOrigin, "resolve-at-origin", false, "")
	fs.StringVar(&r.logins.AuthFile, "authfile", "", "")
	fs.StringArrayVar(&r.creds, "creds", nil, "")
	fs.StringArrayVar(&r.pull.Insecure, "insecure", nil, "")
	fs.StringVar(&r.caFile, "ca-file", "", "")
	fs.DurationVar(&r.pull.Wait, "wait", 0, "")
	fs.IntVar(&r.pull.Jobs, "jobs", pull.DefaultJobs, "")
}

// read interprets the flags. With fromStdin, manifests come from standard input, so that a
// password cannot.
func (r *registries) read(ctx context.Context, streams cli.Streams, fromStdin bool) error {
	switch {
	case r.pull.Jobs < 1:
		return cli.Usagef("--jobs %d: want 1 or more", r.pull.Jobs)
	case r.pull.Wait < 0:
		return cli.Usagef("--wait %s: want a duration such as 6h", r.pull.Wait)
	case r.pull.ResolveAtOrigin && len(r.mirrors) == 0 && r.registriesFile == "" && r.hostsDir == "":
		return cli.Usagef("--resolve-at-origin: needs a --mirror to take the bytes from")
	}
	config := &hosts.Config{Mirrors: map[string][]pull.Mirror{}}
	for _, m := range r.mirrors {
		registry, mirror, err := pull.ParseMirror(m)
		if err != nil {
			return cli.Usagef("--mirror: %w", err)
		}
		config.Mirrors[registry] = append(config.Mirrors[registry], mirror)
	}
	if err := r.mergeConfigs(config); err != nil {
		return err
	}
	r.pull.Mirrors, r.pull.Hosts, r.logins.Nodes = config.Mirrors, config.Hosts, config.Secrets
	if r.caFile != "" {
		var err error
		if r.pull.CA, err = os.ReadFile(r.caFile); err != nil {
			return cli.Errorf(cli.Failed, "--ca-file: %w", err)
		}
	}
	return r.parseCreds(ctx, streams, fromStdin)
}

// mergeConfigs adds the registry configuration of nodes to that of the flags, which comes
// first: k3s's file, then containerd's directory.
func (r *registries) mergeConfigs(config *hosts.Config) error {
	add := func(flag string, more *hosts.Config, err error) error {
		if err == nil {
			err = config.Merge(more)
		}
		if err != nil {
			return cli.Errorf(cli.Failed, "%s: %w", flag, err)
		}
		return nil
	}
	if r.registriesFile != "" {
		raw, err := os.ReadFile(r.registriesFile)
		if err != nil {
			return add("--registries", nil, err)
		}
		k3s, err := hosts.ParseRegistries(raw, os.ReadFile)
		if err := add("--registries", k3s, err); err != nil {
			return err
		}
	}
	if r.hostsDir == "" {
		return nil
	}
	dir, err := hosts.Directory(r.hostsDir, os.ReadDir, os.ReadFile)
	return add("--hosts-dir", dir, err)
}

// parseCreds reads HOST=USER and each password, from a line of standard input or from a
// file. Every process of the machine could see a password on the command line.
func (r *registries) parseCreds(ctx context.Context, streams cli.Streams, fromStdin bool) error {
	passwords := cli.NewPasswords(streams)
	for _, c := range r.creds {
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
			var err error
			password, err = passwords.Read(ctx, fmt.Sprintf("Password for %s at %s: ", user, host))
			switch {
			case errors.Is(err, io.EOF), err == nil && password == "":
				return cli.Usagef("--creds %s: no password on standard input", host)
			case err != nil:
				return fmt.Errorf("--creds %s: read the password: %w", host, err)
			}
		}
		r.logins.Logins = append(r.logins.Logins, account.Login{Registry: host, Username: user, Password: account.Redact(strings.TrimRight(password, "\r\n"))})
	}
	return nil
}

// client returns the options of a client and its accounts, including those of the manifests.
func (r *registries) client(streams cli.Streams, display *progress.Display, result *scan.Result) (pull.Options, *account.Store, error) {
	logins, opts := r.logins, r.pull
	logins.Environment = account.System(streams.Err)
	logins.Secrets = secrets(result, display)
	store, err := account.Load(logins)
	if err != nil {
		return opts, nil, &cli.Error{Code: cli.Failed, Err: err}
	}
	opts.Accounts = store
	opts.UserAgent = "stowage/" + cli.VersionString()
	opts.OnEvent = func(e pull.Event) { show(display, e) }
	return opts, store, nil
}

func show(display *progress.Display, e pull.Event) {
	if e.Wait > 0 {
		display.Wait(e.Host, e.Text, time.Now().Add(e.Wait))
		return
	}
	display.Warning("%s: %s", e.Host, e.Text)
}

// secrets returns the pull secrets of the manifests for the accounts, which prefer those that
// a pod names. Of two that have one name and differ, as only one of them can exist in a
// cluster, the first is used.
func secrets(result *scan.Result, display *progress.Display) []account.Secret {
	named := map[string]bool{}
	for _, ref := range result.References {
		for _, s := range ref.PullSecrets {
			named[s] = true
		}
	}
	var out []account.Secret
	first := map[string]scan.Secret{}
	for _, s := range result.Secrets {
		name := s.Namespace + "/" + s.Name
		if old, ok := first[name]; ok {
			if old.Payload != s.Payload || old.Type != s.Type {
				display.Warning("%s:%d:%d: another secret %s is at %s:%d:%d; only that one is used", s.File, s.Line, s.Column, name, old.File, old.Line, old.Column)
			}
			continue
		}
		first[name] = s
		out = append(out, account.Secret{
			Namespace: s.Namespace, Name: s.Name, Type: s.Type, Named: named[name],
			Payload: s.Payload,
		})
	}
	return out
}
