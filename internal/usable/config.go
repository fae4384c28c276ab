package usable

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// A Config is what the rule needs of an image's config.
type Config struct {
	Platform ocispec.Platform // as stated: fields may be empty
	DiffIDs  []digest.Digest  // unchecked
}

// ParseManifest parses a manifest or an index with the digest d. What containerd cannot
// decode is an [*Error].
func ParseManifest(raw []byte, d digest.Digest) (*manifest.Manifest, error) {
	m, err := manifest.Parse(raw, manifest.Limits{Strict: true})
	if err != nil {
		return nil, &Error{Kind: "manifest", Digest: d, Reason: "containerd cannot decode it", Err: err}
	}
	return m, nil
}

// ParseConfig parses the config of an image or an artifact with the digest d. containerd's
// CRI plugin decodes it for every name; a config of which it cannot is an [*Error]. Nothing
// of raw is kept but what is in the result.
func ParseConfig(raw []byte, d digest.Digest) (*Config, error) {
	var w wireConfig
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, &Error{Kind: "config", Digest: d, Reason: "containerd cannot decode it", Err: err}
	}
	if len(w.RootFS.DiffIDs) > manifest.MaxDescriptors {
		return nil, &Error{Kind: "config", Digest: d, Reason: fmt.Sprintf("%d diffIDs, the limit is %d", len(w.RootFS.DiffIDs), manifest.MaxDescriptors)}
	}
	return &Config{
		Platform: ocispec.Platform{OS: w.OS, OSVersion: w.OSVersion, Architecture: w.Architecture, Variant: w.Variant, OSFeatures: w.OSFeatures},
		DiffIDs:  w.RootFS.DiffIDs,
	}, nil
}

// wireConfig has the fields of ocispec.Image with their types. Lists that the rule does not
// need are decoded and dropped: in memory they could be thirty times as long as in JSON.
type wireConfig struct {
	Created      *time.Time   `json:"created"`
	Author       string       `json:"author"`
	Architecture string       `json:"architecture"`
	Variant      string       `json:"variant"`
	OS           string       `json:"os"`
	OSVersion    string       `json:"os.version"`
	OSFeatures   list[string] `json:"os.features"`
	Config       struct {
		User         string               `json:"User"`
		ExposedPorts droppedMap[struct{}] `json:"ExposedPorts"`
		Env          dropped[string]      `json:"Env"`
		Entrypoint   dropped[string]      `json:"Entrypoint"`
		Cmd          dropped[string]      `json:"Cmd"`
		Volumes      droppedMap[struct{}] `json:"Volumes"`
		WorkingDir   string               `json:"WorkingDir"`
		Labels       droppedMap[string]   `json:"Labels"`
		StopSignal   string               `json:"StopSignal"`
		ArgsEscaped  bool                 `json:"ArgsEscaped"`
	} `json:"config"`
	RootFS struct {
		Type    string              `json:"type"`
		DiffIDs list[digest.Digest] `json:"diff_ids"`
	} `json:"rootfs"`
	History dropped[struct {
		Created    *time.Time `json:"created"`
		CreatedBy  string     `json:"created_by"`
		Author     string     `json:"author"`
		Comment    string     `json:"comment"`
		EmptyLayer bool       `json:"empty_layer"`
	}] `json:"history"`
}
