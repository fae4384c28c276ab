//go:build linux

package document_test

import (
	"fmt"
	"strings"
)

// kind is what a field means. It is the same in every document.
type kind string

// The kinds, with what they are called in docs/json.md. The name of some is a rule.
const (
	text    kind = "string" // for people; not to be compared with
	texts   kind = "list of strings"
	name    kind = "string: name"                   // of the thing that the object is about
	image   kind = "string: image"                  // a complete name: docker.io/library/busybox:latest
	images  kind = "list of strings: images"        // complete names
	sha     kind = "string: digest"                 // sha256:…
	digests kind = "list of strings: digests"       //
	code    kind = "string: code"                   // words with hyphens
	path    kind = "string: path"                   // as it was typed, or absolute
	moment  kind = "string: time"                   // RFC 3339 in UTC
	plat    kind = "string: platform"               // linux/arm64/v8
	plats   kind = "string: platforms, with commas" // linux/amd64,linux/arm64
	bytes   kind = "number: bytes"                  // name: size, done, total, …Size
	count   kind = "number: count"                  // name: …Count
	number  kind = "number"                         //
	seconds kind = "number: seconds"                // name: …Seconds
	flag    kind = "bool"                           //
	object  kind = "object"                         //
	objects kind = "list of objects"                // a plural
	command kind = "list of strings: command line"  // arguments, not quoted
	hex     kind = "string: SHA-256 as sha256sum prints it"
)

// value returns the JSON value of a kind.
func (k kind) value() string {
	value, _, _ := strings.Cut(string(k), ":")
	return value
}

// suits returns an error when a name breaks the rule of its kind.
func (k kind) suits(name string) error {
	size := name == "size" || name == "done" || name == "total" || strings.HasSuffix(name, "Size")
	for _, rule := range []struct {
		kind kind
		name bool
	}{
		{bytes, size}, {count, strings.HasSuffix(name, "Count")}, {seconds, strings.HasSuffix(name, "Seconds")},
	} {
		if (k == rule.kind) != rule.name {
			return fmt.Errorf("the name of a %s: %s", k, name)
		}
	}
	if list := strings.HasPrefix(string(k), "list"); list && k != command && !listNames[name] && !strings.HasSuffix(name, "s") {
		return fmt.Errorf("a list with a name in singular: %s", name)
	}
	return nil
}

// listNames are the names of lists without the s of a plural.
var listNames = map[string]bool{
	"added": true, "removed": true, "moved": true, "skipped": true, "released": true, "trusted": true, "intentsRemoved": true,
	"notReady": true, "waiting": true, "unread": true, "cure": true, "next": true,
}

// names has every field.
var names = map[string]kind{
	"added": objects, "addedBlobCount": count, "addedSize": bytes, "address": path, "apiVersion": text, "artifactType": text,
	"base": sha, "blobCount": count, "blobSize": bytes,
	"causes": objects, "changed": flag, "class": code, "clusterInternal": flag, "code": code, "column": number, "complete": flag,
	"config": sha, "configFile": path, "container": name, "cri": code, "criConfig": sha, "criStatus": code, "cure": objects,
	"digest": sha, "digests": digests, "directory": path, "distribution": code, "done": bytes,
	"errors": objects, "event": code, "exitCode": number,
	"field": text, "file": path, "fileSize": bytes, "files": objects, "form": code, "foundBy": text,
	"hint": text, "host": name, "httpStatus": number,
	"identity": sha, "image": image, "imageCount": count, "images": objects, "intentsRemoved": images,
	"kept": code, "kind": text, "kubelet": object, "kubeletReason": text, "kubeletStatus": code,
	"early": flag, "layers": objects, "line": number, "locked": flag,
	"manifests": objects, "mediaType": text, "message": text, "moved": objects,
	"name": name, "names": images, "namespace": name, "next": texts, "node": name, "nodes": objects, "notLookedAt": text, "notReady": objects, "notes": texts,
	"object": object, "omitted": flag, "omittedCount": count, "omittedSize": bytes, "os": code, "output": path, "ownSize": bytes,
	"phase": code, "pinned": flag, "pinnedBy": sha, "platform": plat, "platforms": plats, "pod": name, "podCount": count, "pods": objects,
	"presentLayerCount": count, "presentSize": bytes, "pullCount": count, "pullPolicy": code, "pullSecrets": texts,
	"readyCount": count, "reason": text, "reference": object, "report": object, "referrers": objects, "registries": texts, "released": objects,
	"removed": objects, "removedBlobCount": count, "removedSize": bytes, "retryAt": moment, "run": command, "running": flag, "runsContainerd": flag,
	"savedSize": bytes, "say": text, "secret": object, "sentSize": bytes, "server": object, "service": name, "sha256": hex, "signature": path, "signedBy": text, "size": bytes,
	"skipped": objects, "skippedCount": count, "snapshotter": name, "source": text, "stalledSeconds": seconds, "status": code,
	"tag": name, "text": text, "time": moment, "total": bytes, "trusted": images, "type": text,
	"unchangedCount": count, "uncomparedCount": count, "unnamedCount": count, "unpackedLayerCount": count, "unpackedSize": bytes, "unread": texts,
	"verificationPolicy": code, "verifies": flag, "version": text,
	"waiting": objects, "warning": object, "warnings": objects, "was": sha,
}

// meanings are those of fields without a comment in the source.
var meanings = map[string]string{
	"address": "containerd's socket", "apiVersion": "as in the manifest", "artifactType": "media type of what is no image",
	"blobCount": "blobs that are stored", "class": "whether a pod needs the image to start", "code": "what it is, for scripts",
	"column": "from 1, in bytes", "config": "digest of the config: the image ID in CRI", "container": "of the pod", "cri": "whether CRI can verify a load",
	"criStatus": "what CRI says about the name", "cure": "the steps to take", "digest": "of the thing itself",
	"field": "path from the root of the object", "file": "as it was named", "form": "how the reference is written",
	"hint": "what to do next", "images": "those of the bundle", "kept": "why it is still pinned; left out if it is not",
	"kind": "as in the manifest", "kubelet": "the kubelet of the node", "kubeletStatus": "what the kubelet will do when a pod starts",
	"layers": "in order", "line": "from 1", "manifests": "one for each platform that is stored", "mediaType": "as in the index or manifest",
	"message": "one line without a full stop", "name": "of the thing itself", "names": "every name of the image", "namespace": "of the thing itself",
	"notes": "what else was noticed", "object": "the Kubernetes object", "phase": "of the run", "platform": "of the thing itself",
	"pod": "left out if only a pull is known", "reason": "one line", "referrers": "signatures, attestations, SBOMs and the like",
	"run": "a command, its arguments not quoted", "say": "what to do, or what the command is for", "server": "the containerd of the node", "size": "of the blob",
	"snapshotter": "that holds the layers", "status": "what was done or found", "type": "of the Secret", "version": "of the program",
	"warning": "something to know before relying on the images found", "warnings": "what the user should know although the run succeeded",
}
