package main

import (
	"fmt"
	"path"
	"strings"

	"stowage/pkg/bundle"
	"stowage/pkg/scan"
)

// order ranks the images of the request: those of --first in the order of the flags, the
// sandbox image, without which no pod starts, the images that other pods wait for, and the
// others. It warns of a pattern that matches nothing.
func (j *job) order() error {
	images, _, err := j.request.Select()
	if err != nil {
		return outcome(err)
	}
	matched := make([]bool, len(j.first))
	rank := func(img bundle.Image) int {
		for i, pattern := range j.first {
			if scan.Match(pattern, img.Name) {
				matched[i] = true
				return i
			}
		}
		switch {
		case isSandbox(img.Name):
			return len(j.first)
		case img.Early:
			return len(j.first) + 1
		}
		return len(j.first) + 2
	}
	ranks := map[string]int{} // of those that are not last
	for _, img := range images {
		if r := rank(img) - len(j.first) - 2; r < 0 {
			ranks[img.Name] = r
		}
	}
	for i, pattern := range j.first {
		if !matched[i] {
			j.display.Warning("%s", fmt.Sprintf("--first %q: matches no image, or none that an earlier --first does not", pattern))
		}
	}
	if len(ranks) == 0 {
		return nil
	}
	j.request.Rank = func(img bundle.Image) int { return ranks[img.Name] }
	return nil
}

// isSandbox reports whether a name is that of a sandbox image: .../pause, or a mirror of it as
// .../mirrored-pause.
func isSandbox(name string) bool {
	name, _, _ = strings.Cut(name, "@")
	last, _, _ := strings.Cut(path.Base(name), ":")
	return last == "pause" || strings.HasSuffix(last, "-pause")
}
