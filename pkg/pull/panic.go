package pull

import (
	"fmt"
	"path"
	"runtime"
	"strings"
)

// PanicError reports a fault of this program that one image or blob met. It is the failure
// of that image or blob and does not stop the others.
type PanicError struct {
	Name  string // of the image or blob
	Value any    // of the panic
	At    string // file and line
}

// Error returns a line with the name, the place and the value of the panic.
func (e *PanicError) Error() string {
	return fmt.Sprintf("%s: internal error at %s: %s", e.Name, e.At, oneLine(fmt.Sprint(e.Value)))
}

// catch makes a panic the error of the work on name. It must be deferred.
func catch(name string, err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Name: name, Value: v, At: panicked()}
	}
}

// attempt calls fn and returns the error of a panic.
func attempt(name string, fn func()) (err error) {
	defer catch(name, &err)
	fn()
	return nil
}

// panicked returns the file and line of the panic that is being recovered: of the first
// frame below those of the runtime.
func panicked() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	below := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if below && !inRuntime {
			return fmt.Sprintf("%s:%d", path.Base(f.File), f.Line)
		}
		below = below || inRuntime
		if !more {
			return "an unknown place"
		}
	}
}
