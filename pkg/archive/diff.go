package archive

import (
	"cmp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// A Difference lists what changed from one bundle to another. Lists are sorted by name.
type Difference struct {
	Added     []Named   `json:"added"`            // only in the new bundle
	Removed   []Named   `json:"removed"`          // only in the old bundle
	Changed   []Changed `json:"moved"`            // in both, with another target
	Same      int       `json:"unchangedCount"`   // names with the same target in both
	NewBlobs  int       `json:"addedBlobCount"`   // blobs the old bundle does not have
	NewSize   int64     `json:"addedSize"`        // their bytes: what a differential bundle would ship
	GoneBlobs int       `json:"removedBlobCount"` // blobs only the old one has
	GoneSize  int64     `json:"removedSize"`      // their bytes
}

// Named is a name and its target.
type Named struct {
	Name     string        `json:"name"`
	Platform string        `json:"platform,omitempty"` // flat bundles only
	Digest   digest.Digest `json:"digest"`
}

// Changed is a name with another target.
type Changed struct {
	Name     string        `json:"name"`
	Platform string        `json:"platform,omitempty"` // flat bundles only
	Old      digest.Digest `json:"was"`                // in the old bundle
	New      digest.Digest `json:"digest"`             // in the new bundle
}

// Compare returns what changed from one bundle to the next. It reads nothing.
func Compare(before, after *Reader) *Difference {
	d := &Difference{Added: []Named{}, Removed: []Named{}, Changed: []Changed{}}
	olds, news := targets(before), targets(after)
	for key, n := range news {
		o, ok := olds[key]
		switch {
		case !ok:
			d.Added = append(d.Added, n)
		case o.Digest != n.Digest:
			d.Changed = append(d.Changed, Changed{n.Name, n.Platform, o.Digest, n.Digest})
		default:
			d.Same++
		}
	}
	for key, o := range olds {
		if _, ok := news[key]; !ok {
			d.Removed = append(d.Removed, o)
		}
	}
	byName := func(a, b Named) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Platform, b.Platform))
	}
	slices.SortFunc(d.Added, byName)
	slices.SortFunc(d.Removed, byName)
	slices.SortFunc(d.Changed, func(a, b Changed) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Platform, b.Platform))
	})
	d.NewBlobs, d.NewSize = lacking(before, after)
	d.GoneBlobs, d.GoneSize = lacking(after, before)
	return d
}

// targets lists the names of a bundle.
func targets(r *Reader) map[[2]string]Named {
	out := make(map[[2]string]Named, len(r.images))
	for i := range r.images {
		img := &r.images[i]
		n := Named{Name: img.Name, Digest: img.Target.Digest}
		if p := img.Target.Platform; p != nil {
			n.Platform = formatPlatform(p)
		}
		out[[2]string{n.Name, n.Platform}] = n
	}
	return out
}

// lacking counts the blobs of b that a neither holds nor omits.
func lacking(a, b *Reader) (n int, size int64) {
	omitted := map[digest.Digest]bool{}
	for i := range a.omitted {
		omitted[a.omitted[i].Digest] = true
	}
	for i := range b.blobs {
		if d := &b.blobs[i]; !a.Has(d.Digest) && !omitted[d.Digest] {
			n++
			size += d.Size
		}
	}
	return n, size
}
