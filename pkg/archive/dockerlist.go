package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// dockerEntry is one image of manifest.json, in the field order of docker save.
// RepoTags is null for an image without a tag, as docker save writes it; docker load
// and podman load then report the image by its ID.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerList collects manifest.json.
type dockerList struct {
	at      map[digest.Digest]int // by config, which is the image's ID to docker
	configs []digest.Digest
	layers  [][]digest.Digest
	tags    [][]string
}

// addDocker adds the image of a name to manifest.json. The format has one platform for a
// tag, so of several manifests it takes linux/amd64, else the first linux one of the index,
// else the first: what the machine that reads it is likely to run. Artifacts are omitted.
func (p *planner) addDocker(name string, tag bool, manifests []walked) {
	best, rank := -1, 3
	for i := range manifests {
		if r := platformRank(&manifests[i]); manifests[i].runnable && r < rank {
			best, rank = i, r
		}
	}
	if best < 0 {
		return
	}
	m := &manifests[best]
	i, ok := p.docker.at[m.config]
	if !ok {
		i = len(p.docker.configs)
		p.docker.at[m.config] = i
		p.docker.configs = append(p.docker.configs, m.config)
		p.docker.layers = append(p.docker.layers, m.layers)
		p.docker.tags = append(p.docker.tags, nil)
	}
	if tag {
		p.docker.tags[i] = append(p.docker.tags[i], name)
	}
}

func platformRank(m *walked) int {
	p := m.desc.Platform
	switch {
	case p != nil && p.OS == "linux" && p.Architecture == "amd64":
		return 0
	case p != nil && p.OS == "linux":
		return 1
	}
	return 2
}

// marshal returns manifest.json, or nil for no image. It does not list an image that lacks
// a layer in the tarball: the format has no omitted layers.
func (l *dockerList) marshal(p *Plan) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(l.configs) * entrySize)
	for i, config := range l.configs {
		e := dockerEntry{Config: blobEntry(config), RepoTags: slices.Compact(l.tags[i]), Layers: []string{}}
		complete := true
		for _, d := range l.layers[i] {
			_, ok := p.at[d]
			complete = complete && ok
			e.Layers = append(e.Layers, blobEntry(d))
		}
		if !complete {
			continue
		}
		raw, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("plan manifest.json: %w", err)
		}
		b.WriteByte("[,"[min(b.Len(), 1)])
		b.Write(raw)
	}
	if b.Len() == 0 {
		return nil, nil
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}
