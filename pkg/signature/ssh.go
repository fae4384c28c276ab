package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Namespace is the namespace of SSH signatures of bundles (PROTOCOL.sshsig, "Signed Data").
const Namespace = "stowage"

// Envelope returns the file that an SSH key signs: "ssh-keygen -Y sign -n stowage FILE".
func Envelope(identity digest.Digest, p Predicate) ([]byte, error) {
	payload, err := newStatement(identity, p)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(envelope{PayloadType: payloadType, Payload: payload, Signatures: []dsseSign{}})
	return append(raw, '\n'), err
}

// The names of the algorithms (RFC 4253, 5656, 8332, 8709 and OpenSSH's PROTOCOL.u2f).
const (
	sshEd25519   = "ssh-ed25519"
	sshRSA       = "ssh-rsa"
	sshSKEd25519 = "sk-ssh-ed25519@openssh.com"
	sshSKECDSA   = "sk-ecdsa-sha2-nistp256@openssh.com"
)

// sshCurves are the curves of ECDSA keys by algorithm.
var sshCurves = map[string]elliptic.Curve{
	"ecdsa-sha2-nistp256": elliptic.P256(),
	"ecdsa-sha2-nistp384": elliptic.P384(),
	"ecdsa-sha2-nistp521": elliptic.P521(),
	sshSKECDSA:            elliptic.P256(),
}

// fields reads the fields of an SSH message (RFC 4251 section 5). After the first fault it
// returns zero values.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n uint32) []byte {
	if f.bad || uint64(n) > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	out := f.rest[:n]
	f.rest = f.rest[n:]
	return out
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) bytes() []byte  { return f.take(f.uint32()) }
func (f *fields) string() string { return string(f.bytes()) }

// number reads a positive integer.
func (f *fields) number() *big.Int {
	b := f.bytes()
	f.bad = f.bad || len(b) == 0 || b[0]&0x80 != 0
	return new(big.Int).SetBytes(b)
}

// end reports whether everything was read without a fault.
func (f *fields) end() bool { return !f.bad && len(f.rest) == 0 }

// appendField appends a string of an SSH message.
func appendField(b, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// sshSignature is a parsed SSH signature.
type sshSignature struct {
	key       []byte // blob of the public key
	namespace string
	hash      string // of the message
	algorithm string
	blob      []byte
	rest      []byte // of a FIDO key: flags and counter
}

// sshMagic begins a signature and what is signed.
const sshMagic = "SSHSIG"

// parseSSH reads a signature in its armor (PROTOCOL.sshsig, "Armored format").
func parseSSH(file []byte) (*sshSignature, error) {
	block, rest := pem.Decode(file)
	if block == nil || block.Type != "SSH SIGNATURE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not an SSH signature")
	}
	f := &fields{rest: block.Bytes}
	magic, version := string(f.take(uint32(len(sshMagic)))), f.uint32()
	s := &sshSignature{key: f.bytes(), namespace: f.string()}
	_, hash, sig := f.bytes(), f.string(), &fields{rest: f.bytes()}
	s.hash, s.algorithm, s.blob = hash, sig.string(), sig.bytes()
	s.rest = sig.rest
	if magic != sshMagic || version != 1 || !f.end() || sig.bad {
		return nil, errors.New("the SSH signature is malformed")
	}
	return s, nil
}

// verify returns an error unless the signature is one of message in the namespace of bundles.
// It does not say whether its key is trusted.
func (s *sshSignature) verify(message []byte) error {
	if s.namespace != Namespace {
		return fmt.Errorf("the SSH signature is for the namespace %q, want %q", s.namespace, Namespace)
	}
	var sum []byte
	switch s.hash {
	case "sha256":
		h := sha256.Sum256(message)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(message)
		sum = h[:]
	default:
		return fmt.Errorf("the SSH signature uses the hash %q", s.hash)
	}
	signed := []byte(sshMagic)
	for _, field := range []string{s.namespace, "", s.hash, string(sum)} {
		signed = appendField(signed, []byte(field))
	}
	key := &fields{rest: s.key}
	kind := key.string()
	if kind != s.algorithm && (kind != sshRSA || s.algorithm != "rsa-sha2-256" && s.algorithm != "rsa-sha2-512") {
		return fmt.Errorf("the SSH signature is %q by a key %q", s.algorithm, kind)
	}
	ok := false
	switch kind {
	case sshEd25519, sshSKEd25519:
		public := key.bytes()
		signed, ok = s.withToken(kind == sshSKEd25519, key, signed)
		ok = ok && len(public) == ed25519.PublicKeySize && ed25519.Verify(public, signed, s.blob)
	case sshRSA:
		ok = len(s.rest) == 0 && s.verifyRSA(key, signed)
	default:
		curve := sshCurves[kind]
		if curve == nil {
			return fmt.Errorf("SSH keys of type %q are not supported", kind)
		}
		_, point := key.bytes(), key.bytes()
		signed, ok = s.withToken(kind == sshSKECDSA, key, signed)
		ok = ok && verifyECDSA(curve, point, signed, s.blob)
	}
	if !ok || !key.end() {
		return errAltered
	}
	return nil
}

// userPresent is the flag of a token that somebody touched.
const userPresent = 1

// withToken returns what the token of a FIDO key signs (PROTOCOL.u2f, "SSH U2F Signatures"):
// hashes of the application and of the message with the flags and the counter of the token
// between them. It returns false unless the token was touched. Other keys sign the message.
func (s *sshSignature) withToken(token bool, key *fields, message []byte) ([]byte, bool) {
	if !token {
		return message, len(s.rest) == 0
	}
	const size = 1 + 4
	application := sha256.Sum256(key.bytes())
	sum := sha256.Sum256(message)
	if len(s.rest) != size || s.rest[0]&userPresent == 0 {
		return nil, false
	}
	return slices.Concat(application[:], s.rest, sum[:]), true
}

// leastRSA is the size in bits of the smallest RSA key that is accepted.
const leastRSA = 2048

func (s *sshSignature) verifyRSA(key *fields, message []byte) bool {
	e, n := key.number(), key.number()
	if key.bad || !e.IsInt64() || e.Int64() > 1<<31-1 || n.BitLen() < leastRSA || n.BitLen() > 1<<14 {
		return false
	}
	public := &rsa.PublicKey{N: n, E: int(e.Int64())}
	if s.algorithm == "rsa-sha2-256" {
		sum := sha256.Sum256(message)
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], s.blob) == nil
	}
	sum := sha512.Sum512(message)
	return rsa.VerifyPKCS1v15(public, crypto.SHA512, sum[:], s.blob) == nil
}

// verifyECDSA verifies a signature of two numbers (RFC 5656 section 3.1.2).
func verifyECDSA(curve elliptic.Curve, point, message, blob []byte) bool {
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return false
	}
	numbers := &fields{rest: blob}
	r, v := numbers.number(), numbers.number()
	if !numbers.end() {
		return false
	}
	var sum []byte
	switch curve {
	case elliptic.P256():
		h := sha256.Sum256(message)
		sum = h[:]
	case elliptic.P384():
		h := sha512.Sum384(message)
		sum = h[:]
	default:
		h := sha512.Sum512(message)
		sum = h[:]
	}
	return ecdsa.Verify(public, sum, r, v)
}
