package progress

import (
	"strconv"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
)

// AddFlags adds --progress, which sets mode, and --quiet, which sets it to None.
func AddFlags(fs *pflag.FlagSet, mode *string) {
	fs.StringVar(mode, "progress", Auto, "")
	cli.Choices(fs, "progress", Modes()...)
	fs.BoolFuncP("quiet", "q", "", func(value string) error {
		quiet, err := strconv.ParseBool(value)
		if quiet {
			*mode = None
		}
		return err
	})
}
