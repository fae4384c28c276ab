package account

import (
	"context"
	"io"
	"io/fs"
	"os"
	"os/user"
)

// Environment is the part of the machine that this package reads. Its functions are
// called from several goroutines at once. A nil function stands for an environment
// that has nothing of the kind.
type Environment struct {
	// Getenv returns the value of an environment variable, "" when it is not set.
	Getenv func(name string) string
	// Home is the user's home directory, "" when there is none.
	Home string
	// UID is the user's number, -1 where the system has no such thing.
	UID int
	// ReadFile reads a file; it may stop after more than 4 MiB. The error for a
	// missing file is an fs.ErrNotExist.
	ReadFile func(path string) ([]byte, error)
	// Helper runs credential helpers.
	Helper HelperFunc
}

// HelperFunc runs the credential helper program ("docker-credential-pass") with action
// ("get") as its only argument and input on its standard input. It returns what the helper
// wrote to its standard output, also when it failed. The helper ends when ctx does.
type HelperFunc func(ctx context.Context, program, action string, input io.Reader) ([]byte, error)

// System returns the environment of this process. The standard error of credential
// helpers goes to helperLog, possibly from several of them at once; nil discards it.
func System(helperLog io.Writer) *Environment {
	return &Environment{
		Getenv:   os.Getenv,
		Home:     home(),
		UID:      os.Getuid(),
		ReadFile: readFile,
		Helper:   runHelper(helperLog),
	}
}

// home returns the user's home directory, from the user database when HOME is not
// set (services, cron), as docker does. "" means none.
func home() string {
	if dir, err := os.UserHomeDir(); err == nil {
		return dir
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return ""
}

// readFile reads up to one byte more than the limit, enough to detect a larger file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

func (e *Environment) getenv(name string) string {
	if e.Getenv == nil {
		return ""
	}
	return e.Getenv(name)
}

func (e *Environment) readFile(path string) ([]byte, error) {
	if e.ReadFile == nil {
		return nil, fs.ErrNotExist
	}
	return e.ReadFile(path)
}
