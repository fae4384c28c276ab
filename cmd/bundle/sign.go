package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/internal/fsutil"
	"stowage/pkg/bundle"
	"stowage/pkg/signature"
)

// signer is the flags of a signature.
type signer struct {
	key      string // file of a private key, or of an SSH public key whose private one an agent has
	sequence int64
	expires  string // a date, or a number of days
}

// addFlags adds the flags; key is the name of the one for the key.
func (s *signer) addFlags(fs *pflag.FlagSet, key string) {
	fs.StringVar(&s.key, key, "", "")
	fs.Int64Var(&s.sequence, "sequence", 0, "")
	fs.StringVar(&s.expires, "expires", "", "")
}

// predicate returns what the signature says.
func (s *signer) predicate(now time.Time) (signature.Predicate, error) {
	p := signature.Predicate{Sequence: s.sequence}
	if s.sequence < 0 {
		return p, cli.Usagef("--sequence %d: want a positive number", s.sequence)
	}
	if s.expires == "" {
		return p, nil
	}
	if text, ok := strings.CutSuffix(s.expires, "d"); ok {
		if days, err := strconv.Atoi(text); err == nil && days > 0 {
			p.Expires = now.AddDate(0, 0, days)
			return p, nil
		}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s.expires); err == nil {
			if !t.After(now) {
				return p, cli.Usagef("--expires %s: is past", s.expires)
			}
			p.Expires = t
			return p, nil
		}
	}
	return p, cli.Usagef("--expires %s: want a number of days, such as 90d, or a date, such as 2027-01-31", s.expires)
}

// sign writes the signature of a bundle beside it and returns the name of the file.
func (s *signer) sign(ctx context.Context, file string, identity digest.Digest, p signature.Predicate, streams cli.Streams) (string, error) {
	key, err := os.ReadFile(s.key)
	if err != nil {
		return "", cli.Errorf(cli.Failed, "read the key: %w", err)
	}
	if isSSH(key) {
		return s.signSSH(ctx, file, identity, p, streams)
	}
	raw, err := signature.SignPEM(identity, p, key)
	if err != nil {
		return "", cli.Errorf(cli.Failed, "sign with %s: %w", s.key, err).
			WithHint("a key is made with \"openssl genpkey -algorithm ed25519 -out key.pem\" or \"ssh-keygen -t ed25519\"")
	}
	out := file + signature.SigstoreSuffix
	return out, replace(out, raw)
}

// isSSH reports whether a file is a key of ssh-keygen: a private one, or a public one.
func isSSH(key []byte) bool {
	return bytes.Contains(key, []byte("-----BEGIN OPENSSH PRIVATE KEY-----")) ||
		!bytes.Contains(key, []byte("-----BEGIN ")) && (bytes.HasPrefix(key, []byte("ssh-")) || bytes.HasPrefix(key, []byte("ecdsa-")) || bytes.HasPrefix(key, []byte("sk-")))
}

// signSSH has ssh-keygen sign, which asks the agent, for the passphrase, or for a touch.
func (s *signer) signSSH(ctx context.Context, file string, identity digest.Digest, p signature.Predicate, streams cli.Streams) (string, error) {
	raw, err := signature.Envelope(identity, p)
	if err != nil {
		return "", err
	}
	out := file + signature.EnvelopeSuffix
	if err := os.Remove(out + signature.SSHSuffix); err != nil && !os.IsNotExist(err) {
		return "", err // ssh-keygen would ask whether to overwrite it
	}
	if err := replace(out, raw); err != nil {
		return "", err
	}
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		return "", cli.Errorf(cli.Failed, "sign with %s: %w", s.key, err).WithHint("install OpenSSH's ssh-keygen, or sign with a PEM key")
	}
	cmd := exec.CommandContext(ctx, path, "-Y", "sign", "-q", "-f", s.key, "-n", signature.Namespace, "--", out)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = streams.In, &said // the passphrase is asked for at the terminal itself
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", cli.Errorf(cli.Failed, "sign with %s: ssh-keygen: %w: %s", s.key, err, strings.Join(strings.Fields(said.String()), " "))
	}
	return out + signature.SSHSuffix, nil
}

// replace writes a file as a whole.
func replace(path string, raw []byte) error {
	return fsutil.Replace(path, fsutil.ReplaceOptions{}, func(f *os.File) error {
		_, err := f.Write(raw)
		return err
	})
}

// sign signs what the run wrote, if the command line names a key.
func (j *job) sign(ctx context.Context, r *bundle.Result) error {
	if j.signer.key == "" {
		return nil
	}
	out, err := j.signer.sign(ctx, j.request.Output, r.Digest, signature.Predicate{}, j.streams)
	if err != nil {
		return signError(err)
	}
	j.display.Message("signed: %s", out)
	return nil
}

// runSign signs bundles that exist.
func runSign(ctx context.Context, args []string, streams cli.Streams) error {
	var s signer
	fs := cli.NewFlags("bundle sign", signHelp, streams)
	fs.Guesses = readGuesses
	s.addFlags(fs.FlagSet, "key")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case len(fs.Args()) != 1:
		return cli.Usagef("sign: want one FILE, got %d", len(fs.Args())).WithHint("try \"bundle sign --key KEY FILE\"")
	case s.key == "":
		return cli.Usagef("sign: name the private key with --key").WithHint("try \"bundle sign --key KEY %s\"", cli.Quote(fs.Arg(0)))
	}
	p, err := s.predicate(time.Now())
	if err != nil {
		return err
	}
	r, err := open(ctx, fs.Arg(0))
	if err != nil {
		return err
	}
	defer r.Close() // only read from
	out, err := s.sign(ctx, fs.Arg(0), r.Digest(), p, streams)
	if err != nil {
		return signError(err)
	}
	return cli.Fprintf(streams.Out, "%s\n", out)
}

// signError returns the error of a signature.
func signError(err error) error {
	if known := (*cli.Error)(nil); errors.As(err, &known) {
		return err
	}
	return outcome(fmt.Errorf("sign: %w", err))
}
