// Package signature signs the identity of a bundle and checks such signatures, with Go's
// standard library alone.
//
// # What is signed
//
// An in-toto statement (in-toto attestation framework, "Statement" v1) in a DSSE envelope
// (secure-systems-lab/dsse, protocol v1). Its subject is the bundle's index.json, whose
// SHA-256 is the identity of the bundle, and by it of every blob.
//
// # Two forms
//
//   - With a PEM key (Ed25519 or ECDSA) the envelope is part of a keyed Sigstore bundle
//     (application/vnd.dev.sigstore.bundle.v0.3+json). "cosign verify-blob-attestation --key"
//     accepts it too.
//   - With an SSH key the bytes of the envelope are signed as OpenSSH's PROTOCOL.sshsig says,
//     in the namespace "stowage". "ssh-keygen -Y verify" accepts it too. ssh-keygen also makes
//     the signature, so that agents, passphrases and FIDO keys work.
//
// What neither of these programs knows, the time at which a signature ends and the sequence
// number that stops a node from going back, is part of the statement.
package signature
