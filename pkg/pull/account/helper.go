package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"

	"stowage/internal/redact"
)

const (
	helperPrefix = "docker-credential-"
	// tokenUser is the user name that a helper returns when its secret is an
	// identity token.
	tokenUser = "<token>"
	// maxAnswer bounds the output of a helper, in bytes.
	maxAnswer = 1 << 20
	// pipeDelay is how long a killed helper's children may hold its output open.
	pipeDelay = 2 * time.Second
)

// helpers runs credential helpers and remembers their answers, so that each is run
// once for a registry, however many repositories and goroutines ask.
type helpers struct {
	env *Environment
	mu  sync.Mutex
	all map[helperQuestion]*helperAnswer
}

type helperQuestion struct{ program, server string }

type helperAnswer struct {
	mu   sync.Mutex // held while the helper runs
	done bool
	auth Auth
	err  error
}

// get returns the account that a helper has for server, the empty Auth for none. A
// run that ctx ended is not remembered.
func (h *helpers) get(ctx context.Context, name, server string) (Auth, error) {
	question := helperQuestion{helperPrefix + name, server}
	h.mu.Lock()
	answer := h.all[question]
	if answer == nil {
		if h.all == nil {
			h.all = map[helperQuestion]*helperAnswer{}
		}
		answer = new(helperAnswer)
		h.all[question] = answer
	}
	h.mu.Unlock()

	answer.mu.Lock()
	defer answer.mu.Unlock()
	if answer.done {
		return answer.auth, answer.err
	}
	auth, err := h.ask(ctx, question)
	if ctx.Err() != nil {
		return Auth{}, ctx.Err()
	}
	answer.auth, answer.err, answer.done = auth, err, true
	return auth, err
}

func (h *helpers) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = nil
}

// ask runs a helper. The client's error quotes the helper's output, which may contain
// a secret, so ask uses the error of the program instead.
func (h *helpers) ask(ctx context.Context, q helperQuestion) (Auth, error) {
	if strings.ContainsAny(q.program, "/\\\x00 ") || q.program == helperPrefix {
		return Auth{}, errors.New("not the name of a program")
	}
	if h.env.Helper == nil {
		return Auth{}, &exec.Error{Name: q.program, Err: exec.ErrNotFound}
	}
	run := &program{ctx: ctx, run: h.env.Helper, name: q.program}
	creds, err := client.Get(run.with, q.server)
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		return Auth{}, nil
	case err != nil && run.err != nil:
		return Auth{}, safeCause(run.err)
	case err != nil:
		return Auth{}, errors.New("its answer does not follow the credential helper protocol")
	case creds.Secret == "":
		return Auth{}, nil // some helpers report "none" this way
	case creds.Username == tokenUser:
		return Auth{identityToken: redact.New(creds.Secret)}, nil
	default:
		return Auth{username: redact.New(creds.Username), password: redact.New(creds.Secret)}, nil
	}
}

// safeCause returns the part of an error that is about the program alone.
func safeCause(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &exec.ExitError{ProcessState: exit.ProcessState} // without what it wrote
	}
	if missing, ok := errors.AsType[*exec.Error](err); ok {
		return missing
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path
	}
	if errors.Is(err, errAnswerTooLong) {
		return errAnswerTooLong
	}
	return errors.New("it could not be run")
}

// program is a helper as the client runs it. It keeps the error of the run, of which the
// client only reports a text.
type program struct {
	ctx   context.Context
	run   HelperFunc
	name  string
	args  []string
	input io.Reader
	err   error
}

// with sets the arguments. It is a [client.ProgramFunc].
func (p *program) with(args ...string) client.Program {
	p.args = args
	return p
}

// Input sets what the helper reads.
func (p *program) Input(in io.Reader) { p.input = in }

// Output runs the helper and returns what it wrote.
func (p *program) Output() ([]byte, error) {
	var out []byte
	out, p.err = p.run(p.ctx, p.name, strings.Join(p.args, " "), p.input)
	return out, p.err
}

// runHelper returns a function that runs helpers of this system. Unlike the client's own
// it ends with the context, sends the helper's standard error to log, and has a limit.
func runHelper(log io.Writer) HelperFunc {
	return func(ctx context.Context, program, action string, input io.Reader) ([]byte, error) {
		var out limitedBuffer
		cmd := exec.CommandContext(ctx, program, action)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &out, log
		cmd.WaitDelay = pipeDelay
		err := cmd.Run()
		if out.full {
			return nil, errAnswerTooLong
		}
		return out.buf.Bytes(), err
	}
}

var errAnswerTooLong = fmt.Errorf("its answer is longer than %d MiB", maxAnswer>>20)

// limitedBuffer refuses to grow beyond maxAnswer. It does not embed the buffer:
// io.Copy would use its ReadFrom and bypass Write.
type limitedBuffer struct {
	buf  bytes.Buffer
	full bool
}

// Write writes all of p or nothing.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > maxAnswer {
		b.full = true
		return 0, errAnswerTooLong
	}
	return b.buf.Write(p)
}
