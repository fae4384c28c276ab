// Package scan finds the container images named in Kubernetes manifests.
//
// It reads bytes and returns image references: each with its class, the form in which it
// was written and its exact position. It opens no files or connections, and needs no
// registry. An example:
//
//	s := scan.New(scan.Options{})
//	if err := s.Scan("calico.yaml", r); err != nil {
//		// every document that could not be read; the others were
//	}
//	for _, name := range s.Result().Names() {
//		fmt.Println(name)
//	}
//
// # What goes in
//
// YAML streams of any number of documents (block or flow style, anchors, aliases and merge
// keys, CRLF, byte order marks, directives), JSON (also several values in a row), the kinds
// List and *List, documents without a kind, and plain lists with one image per line. YAML
// is read as gopkg.in/yaml.v3 reads it: YAML 1.2 with the 1.1 leniencies that kubectl has
// too.
//
// # What comes out
//
// An image is [Required] when a pod spec, or a custom resource that stands for one, makes a
// kubelet pull it as soon as the manifest is applied. It is [Indirect] when an environment
// variable, an argument, a ConfigMap or another custom resource names it, and an operator
// pulls it later. A text that looks like an image but is not counted (a placeholder, a name
// that may be an ordinary word) becomes a [Warning] with its position.
//
// The rules look at forms only: the position in a pod spec, the name of a key, an
// environment variable or a flag, and the shape of the value. Two small tables in data/
// list kinds and operators that no form identifies. A rule returns candidates; one recorder
// turns them into references and warnings.
//
// Names are normalised with github.com/distribution/reference as containerd's CRI plugin
// does it, see [Reference.Name].
//
// # Schemas, status and documentation
//
// Skipped are CustomResourceDefinitions, status, managedFields, annotations (other than
// those of a pod or a pod template), labels, keys named description or example, comments, the
// targets of builds (output, destination), and the values of Secrets. A
// CustomResourceDefinition in plain block style is recognised by its top-level lines and
// never parsed, because such documents make up nine tenths of many manifests; a syntax
// error inside one is therefore not reported.
package scan
