package scan

import (
	"slices"
	"sort"
)

// Result is what a [Scanner] has found so far.
type Result struct {
	// References holds every occurrence of an image, in the order of the inputs and of the
	// places in them.
	References []Reference `json:"images"`
	// Warnings are in the same order. Two of an operator about the same images in one file are one.
	Warnings []Warning `json:"warnings,omitempty"`
	// Secrets with registry accounts, in the same order.
	Secrets []Secret `json:"secrets,omitempty"`
	// Documents is the number of objects read, the items of lists counted one by one.
	Documents int `json:"documents"`
}

// Image is one image with all its occurrences.
type Image struct {
	Name            string      // normalised, see [Reference.Name]
	Class           Class       // Required when one of the references is
	OS              string      // "windows" when every reference is
	ClusterInternal bool        // see [Reference.ClusterInternal]
	References      []Reference // in order, never empty
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
			r.References = append(r.References, f.Reference)
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

// Names gives every image once, normalised, in the order of first appearance.
func (r *Result) Names() []string {
	names := make([]string, 0, len(r.References))
	seen := make(map[string]bool, len(r.References))
	for _, ref := range r.References {
		if !seen[ref.Name] {
			seen[ref.Name] = true
			names = append(names, ref.Name)
		}
	}
	return names
}

// Images returns every image once, with its references, in the order of first appearance.
func (r *Result) Images() []Image {
	var images []Image
	index := make(map[string]int, len(r.References))
	for _, ref := range r.References {
		i, known := index[ref.Name]
		if !known {
			i = len(images)
			index[ref.Name] = i
			images = append(images, Image{Name: ref.Name, Class: ref.Class, OS: ref.OS, ClusterInternal: ref.ClusterInternal})
		}
		img := &images[i]
		img.References = append(img.References, ref)
		if ref.Class == Required {
			img.Class = Required
		}
		if ref.OS != img.OS {
			img.OS = ""
		}
	}
	return images
}
