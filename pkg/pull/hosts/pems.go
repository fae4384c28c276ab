package hosts

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// maxRead bounds the total size of the certificates and keys of one hosts.toml, in bytes.
const maxRead = 16 << 20

// pems reads certificates and keys.
type pems struct {
	read func(path string) ([]byte, error)
	sum  int
}

func (f *pems) file(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("empty path")
	}
	raw, err := f.read(path)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	if f.sum += len(raw); f.sum > maxRead {
		return nil, fmt.Errorf("%s: the files together are larger than %d bytes", path, maxRead)
	}
	return raw, nil
}

// authorities reads a path or a list of paths.
func (f *pems) authorities(v any) ([]byte, error) {
	paths, ok := texts(v)
	if !ok {
		return nil, errors.New("want a path or a list of paths")
	}
	var out []byte
	for _, path := range paths {
		raw, err := f.file(path)
		if err != nil {
			return nil, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("%s: no PEM certificate found", path)
		}
		out = append(append(out, raw...), '\n')
	}
	return out, nil
}

// clients reads a path, or a list of paths and of pairs of paths: certificate and key.
// Without a path of the key, the key is in the file of the certificate.
func (f *pems) clients(v any) ([]tls.Certificate, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	var out []tls.Certificate
	for _, e := range list {
		pair, ok := texts(e)
		if _, text := e.(string); !ok || !text && len(pair) != 2 {
			return nil, errors.New("want a path, or a list of paths or of pairs [CERTIFICATE, KEY]")
		}
		cert, err := f.file(pair[0])
		if err != nil {
			return nil, err
		}
		key := cert
		if len(pair) == 2 && pair[1] != "" {
			if key, err = f.file(pair[1]); err != nil {
				return nil, err
			}
		}
		both, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pair[0], err)
		}
		out = append(out, both)
	}
	return out, nil
}
