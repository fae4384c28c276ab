package scan

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"stowage/internal/redact"
)

// Secret is a Secret with registry accounts, of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg.
type Secret struct {
	Namespace string `json:"namespace"` // "default" where none is written
	Name      string `json:"name"`
	Type      string `json:"type"`
	Position         // of the value
	// Payload is the JSON of the account file. It does not print.
	Payload redact.Value `json:"-"`
}

const (
	typeDockerConfig = "kubernetes.io/dockerconfigjson"
	typeDockerCfg    = "kubernetes.io/dockercfg"
)

// secret takes the registry accounts out of a Secret. stringData hides data, as in the API server.
func (w *walker) secret(f fields, s scope) {
	kind := f.text("type")
	key := ""
	switch kind {
	case typeDockerConfig:
		key = ".dockerconfigjson"
	case typeDockerCfg:
		key = ".dockercfg"
	default:
		return
	}
	plain, coded := w.dig(f.get("stringData"), key), w.dig(f.get("data"), key)
	n := plain
	if n == nil {
		n = coded
	}
	if n == nil {
		return // a Secret to be filled in by somebody else
	}
	payload, err := payloadOf(n, plain == nil)
	at := s.src.start(n)
	if err != nil {
		pos := w.position(s.src, at)
		w.out.errs = append(w.out.errs, &SyntaxError{File: w.file, Line: pos.Line, Column: pos.Column,
			Err: fmt.Errorf("secret %s/%s: %s %w", namespaceOf(w.object.Namespace), w.object.Name, key, err)})
		return
	}
	w.out.secrets = append(w.out.secrets, Secret{Namespace: namespaceOf(w.object.Namespace), Name: w.object.Name, Type: kind,
		Position: w.position(s.src, at), Payload: redact.New(string(payload))})
}

// The errors of payloadOf say nothing about the value but what is wrong with it.
var (
	errNotText   = errors.New("is not a string")
	errNotBase64 = errors.New("is not base64")
	errNotJSON   = errors.New("is not a JSON object")
)

// payloadOf decodes the value of a Secret and checks that it is a JSON object.
func payloadOf(n *yaml.Node, coded bool) ([]byte, error) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!binary" {
		return nil, errNotText
	}
	payload := []byte(n.Value)
	if coded || n.Tag == "!!binary" {
		var err error
		payload, err = base64.StdEncoding.DecodeString(strings.Map(dropSpace, n.Value))
		if err != nil {
			return nil, errNotBase64
		}
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(payload, &object) != nil || object == nil {
		return nil, errNotJSON
	}
	return payload, nil
}

func dropSpace(r rune) rune {
	if r < 0x80 && isSpace(byte(r)) {
		return -1
	}
	return r
}
