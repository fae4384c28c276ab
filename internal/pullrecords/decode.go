package pullrecords

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The versions of the records' API. Kubelets 1.33 and 1.34 read alpha only, newer ones both.
const (
	group = "kubelet.config.k8s.io/"
	alpha = "v1alpha1"
	beta  = "v1beta1"
)

const (
	intentKind = "ImagePullIntent"
	recordKind = "ImagePulledRecord"
)

// errNewer marks a file that a kubelet newer than those known here may have written.
var errNewer = errors.New("of a newer kubelet")

// decodeIntent reads an ImagePullIntent.
func decodeIntent(data []byte) (key, image string, old bool, err error) {
	format, o, err := decodeObject(data, intentKind)
	if err != nil {
		return "", "", false, err
	}
	o.value("image", &image)
	return image, image, format != beta, o.end()
}

// decodeRecord reads an ImagePulledRecord.
func decodeRecord(data []byte) (key string, rec record, old bool, err error) {
	format, o, err := decodeObject(data, recordKind)
	if err != nil {
		return "", record{}, false, err
	}
	rec = record{Format: format}
	var updated string
	var mapping json.RawMessage
	o.value("imageRef", &rec.ImageRef)
	o.value("lastUpdatedTime", &updated)
	at, err := time.Parse(time.RFC3339, updated)
	if err != nil && updated != "" && o.err == nil {
		o.err = fmt.Errorf("lastUpdatedTime: %w", err)
	}
	rec.Process = uint32(at.Nanosecond()) // see encodeRecord
	o.value("credentialMapping", &mapping)
	if err := o.end(); err != nil {
		return "", record{}, false, err
	}
	repositories, err := parseObject(mapping)
	if err != nil {
		return "", record{}, false, fmt.Errorf("credentialMapping: %w", err)
	}
	rec.Repositories = make(map[string]credentials, len(repositories.fields))
	for name, raw := range repositories.fields {
		if rec.Repositories[name], err = decodeCredentials(raw); err != nil {
			return "", record{}, false, fmt.Errorf("credentialMapping: %w", err)
		}
	}
	return rec.ImageRef, rec, format != beta, nil
}

// decodeObject reads the kind and the version of an object and returns its other fields.
func decodeObject(data []byte, want string) (format string, o *object, err error) {
	if o, err = parseObject(data); err != nil {
		return "", nil, err
	}
	var kind, version string
	o.value("kind", &kind)
	o.value("apiVersion", &version)
	switch {
	case o.err != nil:
		return "", nil, o.err
	case kind != want:
		return "", nil, fmt.Errorf("kind %q, want %s", kind, want)
	case version == group+alpha:
		return alpha, o, nil
	case version == group+beta:
		return beta, o, nil
	}
	return "", nil, fmt.Errorf("%w: its version is %q", errNewer, version)
}

func decodeCredentials(raw json.RawMessage) (c credentials, err error) {
	o, err := parseObject(raw)
	if err != nil {
		return c, err
	}
	var secrets, accounts []json.RawMessage
	o.value("nodePodsAccessible", &c.NodeAccessible)
	o.value("kubernetesSecrets", &secrets)
	o.value("kubernetesServiceAccounts", &accounts)
	if err := o.end(); err != nil {
		return c, err
	}
	for _, raw := range secrets {
		s, err := decodeSecret(raw, "credentialHash")
		if err != nil {
			return c, err
		}
		c.Secrets = append(c.Secrets, s)
	}
	for _, raw := range accounts {
		s, err := decodeSecret(raw, "")
		if err != nil {
			return c, err
		}
		c.ServiceAccounts = append(c.ServiceAccounts, ServiceAccount{UID: s.UID, Namespace: s.Namespace, Name: s.Name})
	}
	return c, nil
}

// decodeSecret reads the coordinates of a secret or a service account; hash names the field
// of the hash, "" when there is none.
func decodeSecret(raw json.RawMessage, hash string) (s Secret, err error) {
	o, err := parseObject(raw)
	if err != nil {
		return s, err
	}
	o.value("uid", &s.UID)
	o.value("namespace", &s.Namespace)
	o.value("name", &s.Name)
	if hash != "" {
		o.value(hash, &s.Hash)
	}
	return s, o.end()
}

// object is a JSON object as the kubelet's strict decoder reads it: names of fields count
// with their case, and neither a name twice nor an unknown one is accepted.
type object struct {
	fields map[string]json.RawMessage
	err    error
}

// parseObject reads an object. null and nothing are an empty one.
func parseObject(data []byte) (*object, error) {
	o := &object{fields: map[string]json.RawMessage{}}
	if len(data) == 0 || bytes.Equal(data, []byte("null")) {
		return o, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // the decoder accepts nothing else here
		if _, ok := o.fields[name]; ok {
			return nil, fmt.Errorf("field %q twice", name)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		o.fields[name] = raw
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more after the JSON object")
	}
	return o, nil
}

// value reads the field name into v and removes it from o. A missing field and null leave
// v unchanged.
func (o *object) value(name string, v any) {
	raw, ok := o.fields[name]
	delete(o.fields, name)
	if !ok || o.err != nil {
		return
	}
	if err := json.Unmarshal(raw, v); err != nil {
		o.err = fmt.Errorf("%s: %w", name, err)
	}
}

// end returns the first error, or that of a field that nothing has read.
func (o *object) end() error {
	if o.err != nil || len(o.fields) == 0 {
		return o.err
	}
	var names []string
	for name := range o.fields {
		names = append(names, name)
	}
	return fmt.Errorf("%w: it has a field %q", errNewer, slices.Min(names))
}
