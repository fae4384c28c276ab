package node

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed advisories.txt
var advisoriesText string

// advisory is one line of advisories.txt.
type advisory struct {
	kind   Kind
	ranges [][2][3]int // first version affected, first version not affected
	text   string      // what this containerd does, as in "knows no pinned images"
	source string
}

// advisories is the embedded table. A line that cannot be parsed is a bug.
var advisories = func() []advisory {
	all, err := parseAdvisories(advisoriesText)
	if err != nil {
		panic(err)
	}
	return all
}()

// parseAdvisories reads the table.
func parseAdvisories(table string) ([]advisory, error) {
	var all []advisory
	for line := range strings.Lines(table) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("advisories: %q has %d fields, want 4", line, len(f))
		}
		a := advisory{kind: Kind(f[0]), text: f[2], source: f[3]}
		for _, r := range strings.Fields(f[1]) {
			first, fixed, _ := strings.Cut(r, "-")
			from, ok := parseVersion(first)
			to, ok2 := parseVersion(fixed)
			if !ok || !ok2 || slices.Compare(from[:], to[:]) >= 0 {
				return nil, fmt.Errorf("advisories: invalid range of versions %q", r)
			}
			a.ranges = append(a.ranges, [2][3]int{from, to})
		}
		all = append(all, a)
	}
	return all, nil
}

// affects reports whether the advisory applies to the version. One that cannot be parsed
// counts as new.
func (a *advisory) affects(version string) bool {
	v, ok := parseVersion(version)
	return ok && slices.ContainsFunc(a.ranges, func(r [2][3]int) bool {
		return slices.Compare(r[0][:], v[:]) <= 0 && slices.Compare(v[:], r[1][:]) < 0
	})
}

// fixedIn lists the first versions that are not affected.
func (a *advisory) fixedIn() string {
	var all []string
	for _, r := range a.ranges {
		all = append(all, fmt.Sprintf("%d.%d.%d", r[1][0], r[1][1], r[1][2]))
	}
	return strings.Join(all, ", ")
}

// warning returns the text for a server of the version.
func (a *advisory) warning(version string) string {
	return fmt.Sprintf("containerd %s %s (fixed in %s; %s)", version, a.text, a.fixedIn(), a.source)
}
