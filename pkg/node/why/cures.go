package why

import (
	"fmt"
	"slices"
	"strings"
)

// kubernetes is the namespace of containerd that the kubelet's images are in.
const kubernetes = "k8s.io"

// serveStep makes the node answer the kubelet's pulls itself.
var serveStep = Step{Say: "let the node answer the pulls itself:", Run: []string{"sudo", "load", "serve", "--install"}}

// bring returns the steps that put the image on the node: a bundle that is there, else a new
// one. It is never empty.
func (s *subject) bring() Cure {
	if o, ok := s.offer(true); ok {
		return Cure{{Run: []string{"sudo", "load", o.file}}}
	}
	file := fileFor(s.image)
	return Cure{
		{Say: "where there is a network:", Run: []string{"bundle", "--platform", s.platform, s.image, "-o", file}},
		{Say: "then here:", Run: []string{"sudo", "load", file}},
	}
}

// offer returns a bundle that has the image, for this node or for other platforms only.
func (s *subject) offer(matches bool) (offer, bool) {
	all := s.offers[s.image]
	if i := slices.IndexFunc(all, func(o offer) bool { return o.matches == matches }); i >= 0 {
		return all[i], true
	}
	return offer{}, false
}

// freeSpace returns the steps that make room on a disk and then bring the image.
func (s *subject) freeSpace(d disk) Cure {
	first := Step{Say: "free space on the disk of containerd"}
	if d.path != "" {
		first = Step{Say: "free space; this shows how much there is:", Run: []string{"df", "-h", d.path}}
	}
	cure := append(Cure{first}, s.bring()...)
	cure[1].Say = strings.TrimSpace("then " + cure[1].Say)
	return cure
}

// ctr returns a command line of ctr for the containerd of this node.
func (s *subject) ctr(args ...string) []string {
	command := []string{"sudo", "ctr"}
	if s.address != "" && s.address != "/run/containerd/containerd.sock" {
		command = append(command, "-a", s.address)
	}
	return append(command, args...)
}

// foreign reports whether all platforms of the image are known and none is this node's.
func (c contents) foreign() bool { return len(c.platforms) > 0 && !c.matches }

// fullest returns the disk with the highest usage, and whether that is above the threshold
// of the kubelet.
func fullest(disks []disk) (disk, bool) {
	var full disk
	for i, d := range disks {
		if i == 0 || d.Used > full.Used {
			full = d
		}
	}
	return full, full.Size > 0 && full.threshold > 0 && full.Used >= full.threshold
}

// String describes the usage of the disk.
func (d disk) String() string {
	text := fmt.Sprintf("the disk of %s is %d%% full, %d MiB free", d.path, d.Used, d.Free>>20)
	if d.Inodes > 0 && d.Unused*20 < d.Inodes {
		text += fmt.Sprintf(", %d inodes free", d.Unused)
	}
	return text
}
