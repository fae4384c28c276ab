package signature_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"stowage/internal/need"
	"stowage/pkg/signature"
)

var (
	identity = digest.FromString("index")
	other    = digest.FromString("another index")
	now      = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

// run runs a program and returns what it printed.
func run(t *testing.T, stdin []byte, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	need.Part(t, name, err)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, stdin []byte, name string, args ...string) {
	t.Helper()
	if out, err := run(t, stdin, name, args...); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func write(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func keys(t *testing.T, text string) []signature.Key {
	t.Helper()
	all, err := signature.ParseKeys("allowed", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sshSigned makes a key with ssh-keygen, signs the envelope of the identity with it, and
// returns the key's line and the base of the files.
func sshSigned(t *testing.T, kind, bits, namespace string, p signature.Predicate) (line, file string) {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	args := []string{"-q", "-t", kind, "-N", "", "-f", key}
	if bits != "" {
		args = append(args, "-b", bits)
	}
	mustRun(t, nil, "ssh-keygen", args...)
	raw, err := signature.Envelope(identity, p)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "calico.tar")
	write(t, file+signature.EnvelopeSuffix, raw)
	mustRun(t, nil, "ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", namespace, file+signature.EnvelopeSuffix)
	return strings.TrimSpace(string(read(t, key+".pub"))), file
}

func beside(t *testing.T, file string) []signature.Signature {
	t.Helper()
	all, err := signature.ReadBeside(file)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// reason returns the reason of an error, and fails the test if it has none.
func reason(t *testing.T, err error) signature.Reason {
	t.Helper()
	e := (*signature.Error)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *signature.Error", err)
	}
	return e.Reason
}

// TestSSHKeygen verifies signatures that ssh-keygen made, with each type of key, and has
// ssh-keygen verify the same files.
func TestSSHKeygen(t *testing.T) {
	for _, k := range []struct{ kind, bits string }{{"ed25519", ""}, {"ecdsa", "256"}, {"ecdsa", "384"}, {"ecdsa", "521"}, {"rsa", "2048"}} {
		t.Run(k.kind+k.bits, func(t *testing.T) {
			want := signature.Predicate{Sequence: 7, Expires: now.Add(time.Hour)}
			line, file := sshSigned(t, k.kind, k.bits, signature.Namespace, want)
			allowed := `release@site namespaces="stowage" ` + line
			v, err := signature.Policy{Keys: keys(t, allowed), Now: now}.Verify(identity, beside(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if v.Key != "release@site" || v.Predicate != want {
				t.Errorf("got %+v, want release@site and %+v", v, want)
			}
			list := filepath.Join(t.TempDir(), "allowed")
			write(t, list, []byte(allowed+"\n"))
			document := file + signature.EnvelopeSuffix
			mustRun(t, read(t, document), "ssh-keygen", "-Y", "verify", "-f", list, "-I", "release@site", "-n", "stowage", "-s", document+".sig")

			raw := read(t, document)
			raw[len(raw)/2] ^= 1
			write(t, document, raw)
			_, err = signature.Policy{Keys: keys(t, allowed), Now: now}.Verify(identity, beside(t, file))
			if got := reason(t, err); got != signature.Altered {
				t.Errorf("an altered envelope: %v", err)
			}
		})
	}
}

// TestPolicy checks each reason for which a bundle is not trusted.
func TestPolicy(t *testing.T) {
	line, file := sshSigned(t, "ed25519", "", signature.Namespace, signature.Predicate{Sequence: 7, Expires: now.Add(time.Hour)})
	foreign, _ := sshSigned(t, "ed25519", "", signature.Namespace, signature.Predicate{})
	ours := "release@site " + line
	for _, tt := range []struct {
		name     string
		allowed  string
		change   func(*signature.Policy)
		identity digest.Digest
		want     signature.Reason
	}{
		{name: "accepted", allowed: ours},
		{name: "accepted among others", allowed: "# keys\n\nother@site " + foreign + "\n" + ours + "\n"},
		{name: "one of two times", allowed: `a valid-before="20200101Z" ` + line + "\n" + `b valid-after="20200101Z" ` + line},
		{name: "another key", allowed: "other@site " + foreign, want: signature.Untrusted},
		{name: "another bundle", allowed: ours, identity: other, want: signature.OtherBundle},
		{name: "another namespace", allowed: `a namespaces="git,file" ` + line, want: signature.KeyInvalid},
		{name: "not yet valid", allowed: `a valid-after="20270101Z" ` + line, want: signature.KeyInvalid},
		{name: "no longer valid", allowed: `a valid-before="202605011200Z" ` + line, want: signature.KeyInvalid},
		{name: "expired", allowed: ours, change: func(p *signature.Policy) { p.Now = now.Add(time.Hour) }, want: signature.Expired},
		{name: "older", allowed: ours, change: func(p *signature.Policy) { p.Sequence = 8 }, want: signature.Older},
		{name: "same number", allowed: ours, change: func(p *signature.Policy) { p.Sequence = 7 }},
		{name: "revoked", allowed: ours, change: func(p *signature.Policy) { p.Revoked = p.Keys }, want: signature.Revoked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := signature.Policy{Keys: keys(t, tt.allowed), Now: now}
			if tt.change != nil {
				tt.change(&p)
			}
			if tt.identity == "" {
				tt.identity = identity
			}
			_, err := p.Verify(tt.identity, beside(t, file))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && reason(t, err) != tt.want:
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	_, err := signature.Policy{Keys: keys(t, ours)}.Verify(identity, nil)
	if got := reason(t, err); got != signature.Unsigned {
		t.Errorf("without a signature: %v", err)
	}
	_, wrong := sshSigned(t, "ed25519", "", "file", signature.Predicate{})
	_, err = signature.Policy{Keys: keys(t, "a "+strings.TrimSpace(string(read(t, filepath.Join(filepath.Dir(wrong), "key.pub")))))}.Verify(identity, beside(t, wrong))
	if got := reason(t, err); got != signature.Altered || !strings.Contains(err.Error(), `"file"`) {
		t.Errorf("a signature for another namespace: %v", err)
	}
}

// pemKey makes a key with openssl and returns both halves.
func pemKey(t *testing.T, args ...string) (private, public []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.pem")
	mustRun(t, nil, "openssl", append([]string{"genpkey", "-out", file}, args...)...)
	out, err := run(t, nil, "openssl", "pkey", "-in", file, "-pubout")
	if err != nil {
		t.Fatal(err)
	}
	return read(t, file), []byte(out)
}

// TestPEM signs with keys of openssl, and has openssl verify the same signature.
func TestPEM(t *testing.T) {
	for _, args := range [][]string{{"-algorithm", "ed25519"}, {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}} {
		t.Run(args[len(args)-1], func(t *testing.T) {
			private, public := pemKey(t, args...)
			_, foreign := pemKey(t, args...)
			raw, err := signature.SignPEM(identity, signature.Predicate{Sequence: 3}, private)
			if err != nil {
				t.Fatal(err)
			}
			s := []signature.Signature{{File: "calico.tar.sigstore.json", Document: raw}}
			v, err := signature.Policy{Keys: keys(t, string(public))}.Verify(identity, s)
			if err != nil || v.Sequence != 3 {
				t.Errorf("got %+v, %v, want the number 3", v, err)
			}
			verifyWithOpenSSL(t, raw, public)
			_, err = signature.Policy{Keys: keys(t, string(foreign))}.Verify(identity, s)
			if got := reason(t, err); got != signature.Untrusted {
				t.Errorf("another key: %v", err)
			}
			_, err = signature.Policy{Keys: keys(t, string(foreign)+string(public))}.Verify(other, s)
			if got := reason(t, err); got != signature.OtherBundle {
				t.Errorf("another bundle: %v", err)
			}
		})
	}
}

// verifyWithOpenSSL verifies the DSSE signature in a Sigstore bundle.
func verifyWithOpenSSL(t *testing.T, raw, public []byte) {
	t.Helper()
	var b struct {
		DSSEEnvelope struct {
			Payload    []byte
			Signatures []struct{ Sig []byte }
		}
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	message, sig, key := filepath.Join(dir, "m"), filepath.Join(dir, "s"), filepath.Join(dir, "k")
	kind := "application/vnd.in-toto+json"
	write(t, message, []byte("DSSEv1 28 "+kind+" "+jsonInt(len(b.DSSEEnvelope.Payload))+" "+string(b.DSSEEnvelope.Payload)))
	write(t, sig, b.DSSEEnvelope.Signatures[0].Sig)
	write(t, key, public)
	args := []string{"pkeyutl", "-verify", "-pubin", "-inkey", key, "-sigfile", sig, "-rawin", "-in", message}
	if block, _ := pem.Decode(public); block != nil {
		if k, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			if _, ok := k.(ed25519.PublicKey); !ok {
				args = append(args, "-digest", "sha256")
			}
		}
	}
	mustRun(t, nil, "openssl", args...)
}

func jsonInt(n int) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}

// TestFIDO verifies a signature of a FIDO key, which this test makes as a token does, and
// refuses one of a token that was not touched.
func TestFIDO(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	document, err := signature.Envelope(identity, signature.Predicate{})
	if err != nil {
		t.Fatal(err)
	}
	const kind, application = "sk-ssh-ed25519@openssh.com", "ssh:"
	blob := field(field(field(nil, kind), string(public)), application)
	sum := sha256.Sum256(document)
	message := field(field(field(field([]byte("SSHSIG"), signature.Namespace), ""), "sha256"), string(sum[:]))
	for _, touched := range []byte{1, 0} {
		token := binary.BigEndian.AppendUint32([]byte{touched}, 42)
		app, hash := sha256.Sum256([]byte(application)), sha256.Sum256(message)
		raw := ed25519.Sign(private, bytes.Join([][]byte{app[:], token, hash[:]}, nil))
		inner := append(field(field(nil, kind), string(raw)), token...)
		sig := binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1)
		for _, part := range []string{string(blob), signature.Namespace, "", "sha256", string(inner)} {
			sig = field(sig, part)
		}
		armored := pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: sig})
		_, err := signature.Policy{Keys: keys(t, "a "+kind+" "+base64.StdEncoding.EncodeToString(blob))}.
			Verify(identity, []signature.Signature{{Document: document, SSH: armored}})
		if (err == nil) != (touched == 1) {
			t.Errorf("flags %d: got %v", touched, err)
		}
	}
}

func field(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
}

// TestParseKeys checks the files that are refused.
func TestParseKeys(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChrpmvTQ0DqqSkKyNhMyvZIDxT3WtNtU0SOvyZ3e"
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", "no public key"},
		{"comments only", "# none\n", "no public key"},
		{"authority", "a cert-authority " + key, "certificate authorities"},
		{"unknown option", "a no-touch-required " + key, "unknown option"},
		{"bad time", `a valid-after="tomorrow" ` + key, "YYYYMMDD"},
		{"bad base64", "a ssh-ed25519 ???", "base64"},
		{"other type", "a ssh-rsa " + strings.Fields(key)[1], `not of type "ssh-rsa"`},
		{"no key", "release@site", "want PRINCIPALS"},
		{"dsa", "a ssh-dss AAAA", "unknown option"},
		{"private key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no public key"},
		{"text around PEM", "-----BEGIN X\nhello\n", "no PEM block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signature.ParseKeys("keys", []byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzVerify checks that no signature makes a bundle trusted that a key did not sign, and
// that none panics.
func FuzzVerify(f *testing.F) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := signature.SignPEM(identity, signature.Predicate{}, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	if err != nil {
		f.Fatal(err)
	}
	const key = "a ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChrpmvTQ0DqqSkKyNhMyvZIDxT3WtNtU0SOvyZ3e"
	trusted, err := signature.ParseKeys("keys", []byte(key))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed, []byte(nil))
	f.Add([]byte("{}"), []byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, document, ssh []byte) {
		if v, err := (signature.Policy{Keys: trusted}).Verify(identity, []signature.Signature{{Document: document, SSH: ssh}}); err == nil {
			t.Errorf("accepted: %+v", v)
		}
	})
}
