package scan

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

//go:embed data/operators.yaml
var operatorsData []byte

// operatorRow is a row of data/operators.yaml.
type operatorRow struct {
	Repositories []string
	Groups       []string
	Kinds        []string // only these kinds of the groups
	Operands     string
	Advice       string
	UnlessNamed  bool `yaml:"unlessNamed"` // no warning when the container or the resource names images
	Complete     bool
}

var operators = sync.OnceValue(func() []operatorRow {
	var file struct{ Operators []operatorRow }
	if err := yaml.Unmarshal(operatorsData, &file); err != nil {
		panic("scan: data/operators.yaml: " + err.Error())
	}
	return file.Operators
})

// operandsOf returns the warning about a container whose image is an operator that starts
// images the manifest does not name. For operators missing in the table the form decides:
// the repository is called an operator, and neither environment nor arguments of the
// container name an image. named is set when they name one.
func operandsOf(image string, named bool) (Warning, bool) {
	n, ok := parseName(image)
	if !ok {
		return Warning{}, false
	}
	row, known := operatorByRepository(n.path)
	if !known {
		last := n.path[strings.LastIndexByte(n.path, '/')+1:]
		if named || last != "operator" && !strings.HasSuffix(last, "-operator") && !strings.HasPrefix(last, "operator-") {
			return Warning{}, false
		}
		row = operatorRow{Operands: "the images it starts",
			Advice: "look up its images in its documentation and add them by hand"}
	}
	if row.Complete || named && row.UnlessNamed {
		return Warning{}, false
	}
	return operandsWarning("the operator "+image, row, n.full), true
}

// operandsOfResource returns the warning about a custom resource that makes an operator
// start images the resource does not name. named is set when it names some.
func operandsOfResource(o Object, named bool) (Warning, bool) {
	group := apiGroup(o.APIVersion)
	if !strings.Contains(group, ".") {
		return Warning{}, false
	}
	for _, row := range operators() {
		meant := slices.Contains(row.Groups, group) && (len(row.Kinds) == 0 || slices.Contains(row.Kinds, o.Kind))
		if meant && !(named && row.UnlessNamed) {
			return operandsWarning(o.String()+" ("+group+")", row, ""), true
		}
	}
	return Warning{}, false
}

func operandsWarning(who string, row operatorRow, image string) Warning {
	return Warning{Code: CodeOperands, Name: image, Message: who + " starts images that the manifest does not name: " + row.Operands,
		Advice: row.Advice}
}

// operatorByRepository returns the row for a repository, or for the last components of it.
func operatorByRepository(repository string) (operatorRow, bool) {
	for _, row := range operators() {
		for _, r := range row.Repositories {
			if repository == r || strings.HasSuffix(repository, "/"+r) {
				return row, true
			}
		}
	}
	return operatorRow{}, false
}
