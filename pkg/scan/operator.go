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
	UnlessNamed  bool `yaml:"unlessNamed"` // spared when images are named beside the operator, or in the resource
	Complete     bool
}

var operators = sync.OnceValue(func() []operatorRow {
	var file struct{ Operators []operatorRow }
	if err := yaml.Unmarshal(operatorsData, &file); err != nil {
		panic("scan: data/operators.yaml: " + err.Error())
	}
	return file.Operators
})

// operandsOf warns of a container that runs an operator whose images are not written. For operators the table does not
// know, the form decides: the repository calls itself an operator, and neither environment nor arguments of the
// container name a single image. before is the number of images found before the container.
func (w *walker) operandsOf(before int, f fields, s scope) {
	image := f.get("image")
	if s.level > 0 || !isText(image) {
		return
	}
	n, ok := parseName(image.Value)
	if !ok {
		return
	}
	named := false
	for _, img := range w.out.images[before:] {
		named = named || img.Form == FormEnv || img.Form == FormArg
	}
	row, known := operatorByRepository(n.path)
	if !known {
		last := n.path[strings.LastIndexByte(n.path, '/')+1:]
		if named || last != "operator" && !strings.HasSuffix(last, "-operator") && !strings.HasPrefix(last, "operator-") {
			return
		}
		row = operatorRow{Operands: "the images it starts",
			Advice: "look into its documentation for a list of images, and add them by hand"}
	}
	if row.Complete || named && row.UnlessNamed {
		return
	}
	s = s.at("image")
	w.warn(s.src.inner(image), 0, len(image.Value), s, operandsWarning("the operator "+image.Value, row, n.full))
}

// operatorResource warns of a custom resource that makes an operator start images the resource does not name. named is
// set when it names some.
func (w *walker) operatorResource(n *yaml.Node, named bool, s scope) {
	group := apiGroup(w.object.APIVersion)
	if !strings.Contains(group, ".") {
		return
	}
	for _, row := range operators() {
		for _, g := range row.Groups {
			if g == group && (len(row.Kinds) == 0 || slices.Contains(row.Kinds, w.object.Kind)) && !(named && row.UnlessNamed) {
				w.warn(s.src, s.src.start(n), 0, s, operandsWarning(w.object.String()+" ("+group+")", row, ""))
				return
			}
		}
	}
}

func operandsWarning(who string, row operatorRow, image string) Warning {
	return Warning{Code: CodeOperands, Name: image, Message: who + " brings images that are not written in the manifest: " + row.Operands,
		Advice: row.Advice}
}

// operatorByRepository finds the row whose repository is the given path, or the last components of it.
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
