package scan

import (
	"slices"
	"sort"
)

// Result is what a [Scanner] has found so far.
type Result struct {
	// Images are all occurrences, in the order of the inputs and of their places in them.
	Images []Image `json:"images"`
	// Warnings are in the same order. Two of an operator about the same images in one file are one.
	Warnings []Warning `json:"warnings,omitempty"`
	// Secrets with registry accounts, in the same order.
	Secrets []Secret `json:"secrets,omitempty"`
	// Documents is the number of objects read, the items of lists counted one by one.
	Documents int `json:"documents"`
}

// Reference is one image with all its occurrences.
type Reference struct {
	Name            string  // normalised
	Class           Class   // required when one occurrence is
	OS              string  // "windows" when every occurrence is
	ClusterInternal bool    // see [Image.ClusterInternal]
	Images          []Image // in order, never empty
}

// Result gives what was found so far. The pull secrets of service accounts are resolved over all inputs: an account may
// be defined after the pod, or in another file.
func (s *Scanner) Result() *Result {
	accounts := map[string][]string{}
	for _, d := range s.docs {
		for _, a := range d.accounts {
			if !slices.Contains(accounts[a.account], a.secret) {
				accounts[a.account] = append(accounts[a.account], a.secret)
			}
		}
	}
	r := &Result{Documents: s.count}
	said := map[Warning]bool{}
	for _, d := range s.docs {
		for _, f := range d.byPlace() {
			f.PullSecrets = f.pod.pullSecrets(accounts)
			r.Images = append(r.Images, f.Image)
		}
		for _, w := range d.warnings {
			key := Warning{Code: w.Code, Message: w.Message, Position: Position{File: w.File}}
			if w.Code == CodeOperands {
				if said[key] {
					continue
				}
				said[key] = true
			}
			r.Warnings = append(r.Warnings, w)
		}
		r.Secrets = append(r.Secrets, d.secrets...)
	}
	return r
}

// byPlace gives the images of a document in the order of their places: rules that need a whole mapping find theirs first.
func (d *docResult) byPlace() []found {
	sort.SliceStable(d.images, func(i, j int) bool { return d.images[i].offset < d.images[j].offset })
	sort.SliceStable(d.warnings, func(i, j int) bool {
		a, b := d.warnings[i], d.warnings[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	return d.images
}

// pullSecrets gives the pull secrets of a pod as namespace/name. The API server gives a pod those of its service account
// only when it has none itself (admission plugin ServiceAccount).
func (p *pod) pullSecrets(accounts map[string][]string) []string {
	switch {
	case p == nil:
		return nil
	case len(p.secrets) > 0:
		out := make([]string, len(p.secrets))
		for i, s := range p.secrets {
			out[i] = p.namespace + "/" + s
		}
		return out
	}
	return slices.Clone(accounts[p.namespace+"/"+p.account])
}

// Names gives every image once, normalised, in the order of first appearance.
func (r *Result) Names() []string {
	names := make([]string, 0, len(r.Images))
	seen := make(map[string]bool, len(r.Images))
	for _, img := range r.Images {
		if !seen[img.Name] {
			seen[img.Name] = true
			names = append(names, img.Name)
		}
	}
	return names
}

// References gives every image once, with its occurrences, in the order of first appearance.
func (r *Result) References() []Reference {
	var refs []Reference
	index := make(map[string]int, len(r.Images))
	for _, img := range r.Images {
		i, known := index[img.Name]
		if !known {
			i = len(refs)
			index[img.Name] = i
			refs = append(refs, Reference{Name: img.Name, Class: img.Class, OS: img.OS, ClusterInternal: img.ClusterInternal})
		}
		ref := &refs[i]
		ref.Images = append(ref.Images, img)
		if img.Class == Required {
			ref.Class = Required
		}
		if img.OS != ref.OS {
			ref.OS = ""
		}
	}
	return refs
}
