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

// Secret is a Secret with registry accounts, of type kubernetes.io/dockerconfigjson or
// kubernetes.io/dockercfg.
type Secret struct {
	Namespace string `json:"namespace"` // "default" where none is written
	Name      string `json:"name"`
	Type      string `json:"type"`
	Position         // of the value
	// Payload is the JSON of the account file. It prints as a placeholder.
	Payload redact.Value `json:"-"`
}

const (
	typeDockerConfig = "kubernetes.io/dockerconfigjson"
	typeDockerCfg    = "kubernetes.io/dockercfg"
)

// payloadKey returns the key of a Secret's type that holds registry accounts, or "".
func payloadKey(kind string) string {
	switch kind {
	case typeDockerConfig:
		return ".dockerconfigjson"
	case typeDockerCfg:
		return ".dockercfg"
	}
	return ""
}

// secret records the registry accounts of a Secret. stringData hides data, as in the API
// server. A Secret without either key is filled in later and holds no accounts yet.
func (r *recorder) secret(f fields, s scope) {
	kind := f.text("type")
	key := payloadKey(kind)
	if key == "" {
		return
	}
	n := r.budget.dig(f.get("stringData"), key)
	coded := n == nil
	if coded {
		n = r.budget.dig(f.get("data"), key)
	}
	if n == nil {
		return
	}
	payload, err := payloadOf(n, coded)
	at := s.src.start(n)
	namespace, name := namespaceOf(r.object.Namespace), r.object.Name
	if err != nil {
		r.fail(s.src, at, fmt.Errorf("secret %s/%s: %s %w", namespace, name, key, err))
		return
	}
	r.out.secrets = append(r.out.secrets, Secret{Namespace: namespace, Name: name, Type: kind,
		Position: r.position(s.src, at), Payload: redact.New(string(payload))})
}

// The errors of payloadOf never quote the value.
var (
	errNotText   = errors.New("is not a string")
	errNotBase64 = errors.New("is not base64")
	errNotJSON   = errors.New("is not a JSON object")
)

// payloadOf decodes the value of a Secret, which must be a JSON object.
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
