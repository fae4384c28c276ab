package account

import (
	"errors"
	"slices"
)

// secret is a pull secret that has been read.
type secret struct {
	source
	id    string // namespace/name
	named bool
	err   error // the payload is damaged
}

// fromSecret reads a pull secret. Of its payload only the accounts are used: a
// manifest must not make this machine run the helpers that it names.
func fromSecret(given Secret) secret {
	s := secret{
		source: source{name: given.label()},
		id:     secretID(given.Namespace + "/" + given.Name),
		named:  given.Named,
	}
	switch given.Type {
	case DockerConfigJSON, DockerCfg:
		s.source, s.err = s.parse(given.Payload.Reveal(), given.Type == DockerCfg)
	default:
		s.err = &FileError{Source: s.name, Err: errors.New("not a secret of registry accounts: " + printable(given.Type))}
	}
	for i, e := range s.entries {
		s.entries[i].scope = kubeletScope(e.key)
	}
	s.rules, s.store = nil, ""
	return s
}

// lookInNamed searches the secrets that apply, all together as the kubelet does.
func (s *Store) lookInNamed(ids []string, target scope) []finding {
	var found []finding
	var applying []secret
	var seen []string
	for _, id := range ids {
		id := secretID(id)
		if slices.Contains(seen, id) {
			continue
		}
		seen = append(seen, id)
		before := len(applying)
		for _, given := range s.secrets {
			if given.id == id {
				applying = append(applying, given)
			}
		}
		if len(applying) == before {
			found = append(found, absent("secret "+printable(id), "a pod names it, the manifests do not have it"))
		}
	}
	return append(found, lookTogether(applying, target)...)
}

// lookInUnnamed searches the secrets that no pod names. Anything that is applied to a
// cluster may contain one, so they come last and their damage must not fail a pull.
func (s *Store) lookInUnnamed(ids []string, target scope) []finding {
	var unnamed []secret
	for _, given := range s.secrets {
		if !given.named && !slices.ContainsFunc(ids, func(id string) bool { return secretID(id) == given.id }) {
			unnamed = append(unnamed, given)
		}
	}
	found := lookTogether(unnamed, target)
	for i := range found {
		found[i].err = nil
	}
	return found
}

// lookTogether searches the entries of several secrets, so that a more specific key
// of a later one comes before a wider key of an earlier one. A damaged secret comes
// first: the kubelet does not pull at all with one.
func lookTogether(secrets []secret, target scope) []finding {
	type match struct {
		source string
		entry
	}
	var broken, others []finding
	var matches []match
	for _, given := range secrets {
		if given.err != nil {
			broken = append(broken, damaged(given.name, "", given.err))
			continue
		}
		before := len(matches)
		for _, e := range given.entries {
			if e.scope.globs(target) {
				matches = append(matches, match{given.name, e})
			}
		}
		if len(matches) == before {
			others = append(others, unrelated(given.source, target))
		}
	}
	sortAsKubelet(matches, func(m match) (string, scope) { return m.key, m.scope })
	found := broken
	for _, m := range matches {
		found = append(found, fromEntry(m.source, m.entry))
	}
	return append(found, others...)
}
