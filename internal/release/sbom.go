package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The parts of an SPDX 2.3 document that a release has.
type (
	spdxDocument struct {
		Version       string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      spdxCreation   `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []spdxRelation `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		Name          string         `json:"name"`
		ID            string         `json:"SPDXID"`
		Version       string         `json:"versionInfo"`
		Download      string         `json:"downloadLocation"`
		FilesAnalyzed bool           `json:"filesAnalyzed"`
		Concluded     string         `json:"licenseConcluded"`
		Declared      string         `json:"licenseDeclared"`
		Copyright     string         `json:"copyrightText"`
		Source        string         `json:"sourceInfo,omitempty"` // the hash in go.sum
		Checksums     []spdxChecksum `json:"checksums,omitempty"`
		References    []spdxExternal `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxExternal struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelation struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

// sbom writes the bill of materials of a program: the modules that are linked in, as the
// program itself says.
func (r *release) sbom(p platform, program string) error {
	path := filepath.Join(r.programs(p), p.exe(program))
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	name := fmt.Sprintf("stowage-%s_%s_%s", program, r.version, p)
	const root = "SPDXRef-Program"
	doc := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: name,
		Namespace:     "https://stowage.invalid/spdx/" + name + "-" + sum,
		Creation:      spdxCreation{r.time.Format(time.RFC3339), []string{"Tool: stowage-release-" + r.version}},
		Relationships: []spdxRelation{{"SPDXRef-DOCUMENT", "DESCRIBES", root}},
	}
	add := func(id, name, version, hash, purl string) *spdxPackage {
		doc.Packages = append(doc.Packages, spdxPackage{
			Name: name, ID: id, Version: version, Download: "NOASSERTION", Concluded: "NOASSERTION", Declared: "NOASSERTION",
			Copyright: "NOASSERTION", Source: hash, References: []spdxExternal{{"PACKAGE-MANAGER", "purl", purl}},
		})
		return &doc.Packages[len(doc.Packages)-1]
	}
	main := add(root, "stowage-"+program, r.version, "", "pkg:golang/"+info.Main.Path+"@"+r.version+"#cmd/"+program)
	main.Checksums = []spdxChecksum{{"SHA256", sum}}
	std := strings.TrimPrefix(info.GoVersion, "go")
	add("SPDXRef-std", "std", std, "", "pkg:golang/std@"+std)
	for i, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add(fmt.Sprintf("SPDXRef-Module-%d", i+1), m.Path, m.Version, m.Sum, "pkg:golang/"+m.Path+"@"+m.Version)
	}
	for _, dep := range doc.Packages[1:] {
		doc.Relationships = append(doc.Relationships, spdxRelation{root, "DEPENDS_ON", dep.ID})
	}
	return r.write(name+".spdx.json", func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(doc)
	})
}
