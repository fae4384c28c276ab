package cli

import "runtime/debug"

// Version is set by the Makefile. A program built by go install knows its module's version.
var Version = ""

// VersionString is what --version prints.
func VersionString() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// RequirementVersion returns the version of the module at path that is linked in.
func RequirementVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}
