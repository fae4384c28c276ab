package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/internal/redact"
	"stowage/pkg/bundle"
)

// words sorts the arguments that are neither flags nor their values. Behind -f, a file is a
// manifest too, as when a shell expands -f *.yaml; every other word is an image. A word that
// is no image is a usage error, whose hint is the corrected command line: a registry would
// only answer that it does not have "calico.yaml".
func (s *settings) words(args []string, indexes []int) error {
	var first *cli.Error
	var files []string
	line := slices.Clone(args)
	for _, i := range indexes {
		if len(s.sources) > 0 && isManifest(args[i]) {
			files = append(files, args[i])
			continue
		}
		if err := program().NotCommand(args, i); err != nil {
			return err
		}
		err, instead := notImage(args[i])
		line[i] = instead
		if first == nil {
			first = err
		}
		s.request.Images = append(s.request.Images, bundle.Image{Name: args[i], Required: true})
	}
	s.sources = append(s.sources, files...)
	if first == nil {
		return nil
	}
	if first.Hint == "" {
		first.Hint = s.try(line)
	}
	return first
}

// notImage returns a usage error for a word that is no image, and what to write instead.
func notImage(word string) (*cli.Error, string) {
	scheme, rest, isAddress := strings.Cut(word, "://")
	kind := "file"
	info, err := os.Stat(word)
	if err == nil && info.IsDir() {
		kind = "directory"
	}
	switch {
	case word == "-":
		return cli.Usagef("-: standard input is read with -f -"), "-f -"
	case isAddress && strings.HasPrefix(scheme, "http") && isManifestName(rest):
		return cli.Usagef("%s: the address of a manifest is named with -f", redact.Addresses(word)), "-f " + word
	case isAddress:
		if host, name, ok := strings.Cut(rest, "/"); ok { // without an account
			rest = host[strings.LastIndex(host, "@")+1:] + "/" + name
		}
		return cli.Usagef("%s: an image is named without \"%s://\"", redact.Addresses(word), scheme), rest
	case isArchiveName(word):
		return cli.Usagef("%s is a tar file, neither an image nor a manifest", word).
			WithHint("\"bundle inspect %[1]s\" shows what is in it, --reuse %[1]s copies from it", cli.Quote(word)), word
	case err == nil && !strings.ContainsAny(word, "./:@"):
		return cli.Usagef("%s is a %s, not an image; write %s:latest for the image", word, kind, word), "-f " + word
	case err == nil:
		return cli.Usagef("%s is a %s, not an image", word, kind), "-f " + word
	case isManifestName(word):
		return cli.Usagef("%s: no such file", word).WithHint("name an existing manifest with -f"), word
	}
	return nil, word
}

// try returns the hint with a corrected command line. A word that begins with "-f " is two
// arguments. The output is added when it is missing.
func (s *settings) try(line []string) string {
	var args, inputs []string
	for _, arg := range line {
		if file, ok := strings.CutPrefix(arg, "-f "); ok {
			args, inputs, arg = append(args, "-f"), append(inputs, file), file
		}
		args = append(args, arg)
	}
	if s.request.Output == "" && !s.explain && !s.options.DryRun {
		for _, img := range s.request.Images {
			inputs = append(inputs, img.Name)
		}
		args = append(args, "-o", outputName(append(slices.Clone(s.sources), inputs...)))
	}
	return fmt.Sprintf("try \"bundle %s\"", cli.Quote(args...))
}

// outputName returns a name for the bundle of these manifests and images.
func outputName(inputs []string) string {
	name := "bundle"
	if len(inputs) > 0 {
		first, _, _ := strings.Cut(inputs[0], ",")
		first, _, _ = strings.Cut(first, "?") // of an address or a pattern
		if strings.Contains(first, "*") {
			first = path.Dir(first)
		}
		base := path.Base(filepath.ToSlash(first))
		for _, end := range []string{"@", ":", ".yaml", ".yml", ".json"} {
			base, _, _ = strings.Cut(base, end)
		}
		if strings.Trim(base, "./-*[") != "" {
			name = base
		}
	}
	return name + ".tar"
}

// expand returns the arguments of -f with lists and patterns replaced by the files they name,
// as kubectl reads them: a.yaml,b.yaml and 'manifests/*.yaml'.
func expand(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		for _, part := range splitList(arg) {
			if exists(part) || isWeb(part) || !strings.ContainsAny(part, "*?[") {
				out = append(out, part)
				continue
			}
			found, err := filepath.Glob(part)
			switch {
			case err != nil:
				return nil, cli.Usagef("-f %q: %w", part, err)
			case len(found) == 0:
				return nil, cli.Errorf(cli.Failed, "-f %q: matches no file", part)
			}
			out = append(out, found...)
		}
	}
	return out, nil
}

// splitList splits a list at its commas, except in an address and in the name of an existing
// file.
func splitList(list string) []string {
	if exists(list) {
		return []string{list}
	}
	var out []string
	for part := range strings.SplitSeq(list, ",") {
		last := len(out) - 1
		if last >= 0 && isWeb(out[last]) && !isWeb(part) && !exists(part) {
			out[last] += "," + part
			continue
		}
		out = append(out, part)
	}
	return out
}

func isWeb(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// isManifest reports whether a word that is not behind -f names a manifest.
func isManifest(word string) bool {
	info, err := os.Stat(word)
	return err == nil && !info.IsDir() && !isArchiveName(word) || isWeb(word) && isManifestName(word)
}

func isManifestName(name string) bool {
	name, _, _ = strings.Cut(name, "?")
	return slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)) && !strings.Contains(path.Base(name), ":")
}

// isArchiveName reports whether name ends as those of bundles do.
func isArchiveName(name string) bool {
	for _, end := range []string{".tar", ".tgz", ".tar.gz", ".tar.zst"} {
		if strings.HasSuffix(name, end) && !strings.Contains(path.Base(name), ":") {
			return true
		}
	}
	return false
}
