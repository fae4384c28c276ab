package node

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed defects.txt
var defectsText string

// defect is one line of defects.txt.
type defect struct {
	kind   Kind
	ranges [][2][3]int // first version affected, first version not affected
	text   string      // what this containerd does, as in "knows no pinned images"
	source string
}

// defects is the table. A line that cannot be read is a mistake of ours.
var defects = func() []defect {
	all, err := parseDefects(defectsText)
	if err != nil {
		panic(err)
	}
	return all
}()

// parseDefects reads the table.
func parseDefects(table string) ([]defect, error) {
	var all []defect
	for line := range strings.Lines(table) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("defects: %q has %d fields, want 4", line, len(f))
		}
		d := defect{kind: Kind(f[0]), text: f[2], source: f[3]}
		for _, r := range strings.Fields(f[1]) {
			first, fixed, _ := strings.Cut(r, "-")
			from, ok := parseVersion(first)
			to, ok2 := parseVersion(fixed)
			if !ok || !ok2 || slices.Compare(from[:], to[:]) >= 0 {
				return nil, fmt.Errorf("defects: %q is no range of versions", r)
			}
			d.ranges = append(d.ranges, [2][3]int{from, to})
		}
		all = append(all, d)
	}
	return all, nil
}

// affects tells whether the version has the defect. One that cannot be read is
// taken as new.
func (d *defect) affects(version string) bool {
	v, ok := parseVersion(version)
	return ok && slices.ContainsFunc(d.ranges, func(r [2][3]int) bool {
		return slices.Compare(r[0][:], v[:]) <= 0 && slices.Compare(v[:], r[1][:]) < 0
	})
}

// fixedIn lists the first versions without the defect.
func (d *defect) fixedIn() string {
	var all []string
	for _, r := range d.ranges {
		all = append(all, fmt.Sprintf("%d.%d.%d", r[1][0], r[1][1], r[1][2]))
	}
	return strings.Join(all, ", ")
}

// warning words the defect for a server of the version.
func (d *defect) warning(version string) string {
	return fmt.Sprintf("containerd %s %s (fixed in %s; %s)", version, d.text, d.fixedIn(), d.source)
}
