package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// sigstoreType is the media type of a Sigstore bundle.
const sigstoreType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// sigstore is a keyed Sigstore bundle with a DSSE envelope (sigstore/protobuf-specs,
// sigstore_bundle.proto).
type sigstore struct {
	MediaType string    `json:"mediaType"`
	Material  material  `json:"verificationMaterial"`
	Envelope  *envelope `json:"dsseEnvelope"`
}

type material struct {
	PublicKey *publicKey `json:"publicKey,omitempty"`
}

type publicKey struct {
	Hint string `json:"hint"`
}

// SignPEM returns a keyed Sigstore bundle over the identity. key is a PEM file with a PKCS #8
// or SEC 1 private key, Ed25519 or ECDSA, without a passphrase.
func SignPEM(identity digest.Digest, p Predicate, key []byte) ([]byte, error) {
	signer, err := parsePrivate(key)
	if err != nil {
		return nil, err
	}
	payload, err := newStatement(identity, p)
	if err != nil {
		return nil, err
	}
	e := envelope{PayloadType: payloadType, Payload: payload}
	message, opts := e.toSign(), crypto.SignerOpts(crypto.Hash(0))
	if _, ok := signer.(*ecdsa.PrivateKey); ok {
		sum := sha256.Sum256(message)
		message, opts = sum[:], crypto.SHA256
	}
	sig, err := signer.Sign(rand.Reader, message, opts)
	if err != nil {
		return nil, err
	}
	e.Signatures = []dsseSign{{Sig: sig}}
	raw, err := json.Marshal(sigstore{MediaType: sigstoreType, Material: material{&publicKey{}}, Envelope: &e})
	return append(raw, '\n'), err
}

// parsePrivate reads a private key.
func parsePrivate(file []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(file)
	if block == nil {
		return nil, errors.New("not a PEM file")
	}
	var (
		key any
		err error
	)
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY", "ENCRYPTED SIGSTORE PRIVATE KEY":
		return nil, errors.New("the key has a passphrase; sign with cosign and --key, or use an SSH key, whose agent asks for it")
	default:
		return nil, fmt.Errorf("a PEM block %q is no private key", block.Type)
	}
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	}
	return nil, errors.New("the key is neither Ed25519 nor ECDSA")
}

// verifyPublic reports whether sig is the key's signature of message; an ECDSA key signs its
// SHA-256.
func verifyPublic(key crypto.PublicKey, message, sig []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, sum[:], sig)
	}
	return false
}
