// Package scan finds the container images named in Kubernetes manifests.
//
// It takes bytes and gives image references: every one with its class, the form it was written in and its exact place.
// It opens no file and no connection, and needs no registry to be sure of what it says. An example:
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
// YAML streams of any number of documents (block or flow style, anchors, aliases and merge keys, CRLF, byte order marks,
// directives), JSON (several values after one another too), the kinds List and *List, documents without a kind, and
// plain lists with one image a line. YAML is read as gopkg.in/yaml.v3 reads it, which is YAML 1.2 with the leniencies
// of 1.1 that kubectl has as well.
//
// # What comes out
//
// An image is [Required] when a pod spec, or a custom resource that stands for one, makes a kubelet pull it as soon as
// the manifest is applied. It is [Indirect] when it is named in an environment variable, an argument, a ConfigMap or
// another custom resource, and an operator will pull it later. What looks like an image and is not taken (a placeholder,
// a name that cannot be told from an ordinary word) is a [Warning] with its place, never dropped in silence.
//
// The rules look at forms only: the position in a pod spec, the name of a key, an environment variable or a flag, and
// the shape of the value. Two small tables in data/ name kinds and operators, for what no form can tell.
//
// Names are normalised by github.com/distribution/reference as containerd's CRI plugin does it, see [Reference.Name].
//
// # Schemas, status and documentation
//
// Not looked at: CustomResourceDefinition, status, managedFields, annotations (other than those of a pod template),
// labels, keys named description or example, comments, the targets of builds (output, destination), and the values of Secrets.
// A CustomResourceDefinition in plain block style is recognised by its top-level lines and not parsed at all, because
// such documents are nine tenths of the bytes of many manifests: a syntax error inside of one is therefore not reported.
package scan
