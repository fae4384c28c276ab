package clitest

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"stowage/internal/registrytest"
)

// registryCommand is the command "registry" of scripts: a real registry, see the package
// registrytest.
//
//	registry start [auth=none|basic|bearer] [account=USER:PASSWORD[:QUOTA]]... [anonymous=refuse|QUOTA]
//	          [origin=HOST,...] [redirect=true] [hidemissing=true] [public=PATTERN,...]
//	registry calico [scale=N] [run=true]       adds the three images of calico.yaml
//	registry image REPO:TAG [size=BYTES] [layers=N] [platforms=A,B] [seed=N] [run=true]
//	registry artifact REPO:TAG                 adds an artifact, which has no root file system
//	registry sign REPO:TAG                     adds a signature as cosign 2 does, under a tag
//	registry refer REPO:TAG                    adds one as cosign 3 does, with a subject
//	registry rm REPO REF                       deletes a tag, manifest or blob
//	registry move REPO TAG OTHER               points TAG at the manifest of the tag OTHER
//	registry set KEY=VALUE...                  sets faults, see faults.go
//	registry heal                              ends all faults
//	registry wait stalled                      waits until a response is stalled (see the fault "stall")
//	registry release                           continues stalled responses
//	registry used USER N                       sets the used pulls of an account (or "anonymous")
//	registry reset                             resets the counters
//	registry counts KEY=N KEY>=N...            checks counters, see counts.go
//
// start sets $REGISTRY to the registry's host. With origin it also replaces real
// registries, over TLS and through a proxy: the script can then use docker.io.
func registryCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: registry start|%s ...", strings.Join(slices.Sorted(maps.Keys(registryCommands)), "|"))
	}
	if args[0] == "start" {
		startRegistry(ts, args[1:])
		return
	}
	do, ok := registryCommands[args[0]]
	if !ok {
		ts.Fatalf("registry %s: no such command", args[0])
	}
	h := stateOf(ts).registry
	if h == nil {
		ts.Fatalf("registry %s: run registry start first", args[0])
	}
	ts.Check(do(ts, h, args[1:]))
}

type registryFunc func(ts *testscript.TestScript, h *registrytest.Registry, args []string) error

var registryCommands map[string]registryFunc

func init() {
	registryCommands = map[string]registryFunc{
		"calico": addCalico,
		"image":  addImage,
		"artifact": func(_ *testscript.TestScript, h *registrytest.Registry, args []string) error {
			repo, tag, _ := strings.Cut(args[0], ":")
			_, err := h.AddArtifact(repo, tag, registrytest.Artifact{Type: "application/x-model", Blobs: [][]byte{[]byte(repo)}})
			return err
		},
		"sign": func(_ *testscript.TestScript, h *registrytest.Registry, args []string) error {
			return sign(h, args[0], func(repo string, of ocispec.Descriptor) (registrytest.Added, error) {
				return h.AddCosignTag(repo, of.Digest)
			})
		},
		"refer": func(_ *testscript.TestScript, h *registrytest.Registry, args []string) error {
			return sign(h, args[0], h.AddReferrer)
		},
		"rm": func(_ *testscript.TestScript, h *registrytest.Registry, args []string) error {
			return h.Delete(args[0], args[1])
		},
		"move": moveTag,
		"set":  setFaults,
		"heal": func(_ *testscript.TestScript, h *registrytest.Registry, _ []string) error {
			h.SetFaults(registrytest.NoFaults)
			return nil
		},
		"wait": waitStalled,
		"release": func(_ *testscript.TestScript, h *registrytest.Registry, _ []string) error {
			h.Release()
			return nil
		},
		"used": setUsed,
		"reset": func(_ *testscript.TestScript, h *registrytest.Registry, _ []string) error {
			h.Reset()
			return nil
		},
		"counts": wantCounts,
	}
}

// pairs splits KEY=VALUE arguments and calls each in order.
func pairs(ts *testscript.TestScript, args []string, each func(key, value string)) {
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			ts.Fatalf("%q: want KEY=VALUE", a)
		}
		each(key, value)
	}
}

// number parses an integer; an error ends the script.
func number(ts *testscript.TestScript, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	ts.Check(err)
	return n
}

func startRegistry(ts *testscript.TestScript, args []string) {
	if stateOf(ts).registry != nil {
		ts.Fatalf("registry start: already started")
	}
	var opts registrytest.Options
	p := &opts.Policy
	pairs(ts, args, func(key, value string) {
		switch key {
		case "auth":
			kind, ok := map[string]registrytest.Auth{"none": registrytest.AuthNone, "basic": registrytest.AuthBasic, "bearer": registrytest.AuthBearer}[value]
			if !ok {
				ts.Fatalf("registry start: auth=%s", value)
			}
			p.Auth = kind
		case "account":
			p.Accounts = append(p.Accounts, parseAccount(ts, value))
		case "anonymous":
			if p.RefuseAnonymous = value == "refuse"; !p.RefuseAnonymous {
				p.AnonymousQuota = int(number(ts, value))
			}
		case "origin":
			opts.TLS, opts.Names = true, strings.Split(value, ",")
		case "redirect":
			p.Redirect = value == "true"
		case "hidemissing":
			p.HideMissing = value == "true"
		case "public":
			p.Public = strings.Split(value, ",")
		default:
			ts.Fatalf("registry start: no such setting: %s", key)
		}
	})
	h := registrytest.Start(stateOf(ts).t, opts)
	stateOf(ts).registry = h
	ts.Setenv("REGISTRY", h.Host())
	if opts.TLS {
		ca := ts.MkAbs(".registry-ca.pem")
		ts.Check(os.WriteFile(ca, h.CAPEM(), 0o644))
		ts.Setenv("SSL_CERT_FILE", ca)
		ts.Setenv("HTTPS_PROXY", h.Proxy())
	}
}

// parseAccount parses USER:PASSWORD[:QUOTA].
func parseAccount(ts *testscript.TestScript, text string) registrytest.Account {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		ts.Fatalf("account %q: want USER:PASSWORD[:QUOTA]", text)
	}
	a := registrytest.Account{User: parts[0], Password: parts[1]}
	if len(parts) == 3 {
		a.Quota = int(number(ts, parts[2]))
	}
	return a
}

func addCalico(ts *testscript.TestScript, h *registrytest.Registry, args []string) error {
	opts := registrytest.CalicoOptions{Compression: registrytest.GzipStored} // compression is slow under the race detector
	var err error
	pairs(ts, args, func(key, value string) {
		switch {
		case key == "scale":
			opts.Scale = int(number(ts, value))
		case key == "run" && value == "true":
			var program []byte
			if program, err = registrytest.Program(stateOf(ts).t.Context()); err == nil {
				opts.Programs = map[string][]byte{runtime.GOARCH: program}
			}
		default:
			ts.Fatalf("registry calico: no such setting: %s=%s", key, value)
		}
	})
	if err == nil {
		_, err = h.AddCalico(opts)
	}
	return err
}

// imageSpec is an image as a script describes it.
type imageSpec struct {
	size      int64
	layers    int
	seed      uint64
	platforms []string
	run       bool
}

func addImage(ts *testscript.TestScript, h *registrytest.Registry, args []string) error {
	repo, tag, ok := strings.Cut(args[0], ":")
	if !ok {
		ts.Fatalf("registry image %s: want REPO:TAG", args[0])
	}
	spec := imageSpec{size: 2000, layers: 1}
	pairs(ts, args[1:], func(key, value string) {
		switch key {
		case "size":
			spec.size = number(ts, value)
		case "layers":
			spec.layers = int(number(ts, value))
		case "seed":
			spec.seed = uint64(number(ts, value))
		case "platforms":
			spec.platforms = strings.Split(value, ",")
		case "run":
			spec.run = value == "true"
		default:
			ts.Fatalf("registry image: no such setting: %s", key)
		}
	})
	if spec.platforms == nil {
		img, err := spec.image(ts, repo, "linux/"+runtime.GOARCH)
		if err == nil {
			_, err = h.AddImage(repo, tag, img)
		}
		return err
	}
	var idx registrytest.Index
	for _, p := range spec.platforms {
		img, err := spec.image(ts, repo, p)
		if err != nil {
			return err
		}
		idx.Images = append(idx.Images, img)
	}
	_, err := h.AddIndex(repo, tag, idx)
	return err
}

// image returns the image of one platform. No two repositories or platforms share layers.
func (s imageSpec) image(ts *testscript.TestScript, repo, platform string) (registrytest.Image, error) {
	img := registrytest.Image{Platform: platform}
	if s.run && platform == "linux/"+runtime.GOARCH {
		program, err := registrytest.Program(stateOf(ts).t.Context())
		if err != nil {
			return img, err
		}
		img = registrytest.Hello(repo, runtime.GOARCH, program)
	}
	for i := range s.layers {
		name := strings.ReplaceAll(repo+"-"+platform, "/", "-")
		img.Layers = append(img.Layers, &registrytest.Layer{
			Seed:  s.seed<<32 + uint64(i),
			Files: []registrytest.File{{Name: "share/"}, {Name: "share/" + name + strconv.Itoa(i), Size: s.size}},
		})
	}
	return img, nil
}

// sign adds a signature of the manifest of a tag.
func sign(h *registrytest.Registry, ref string, add func(string, ocispec.Descriptor) (registrytest.Added, error)) error {
	repo, tag, _ := strings.Cut(ref, ":")
	raw, err := h.Manifest(repo, tag)
	if err != nil {
		return err
	}
	_, err = add(repo, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digestOf(raw), Size: int64(len(raw))})
	return err
}

func moveTag(_ *testscript.TestScript, h *registrytest.Registry, args []string) error {
	raw, err := h.Manifest(args[0], args[2])
	if err != nil {
		return err
	}
	return h.Move(args[0], args[1], digestOf(raw))
}

// waitStalled waits until a response of the registry is stalled, or until the test ends.
func waitStalled(ts *testscript.TestScript, h *registrytest.Registry, args []string) error {
	if len(args) != 1 || args[0] != "stalled" {
		return errors.New("usage: registry wait stalled")
	}
	ctx := stateOf(ts).t.Context()
	for {
		for _, e := range h.Log() {
			if e.Note == "stalled" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func setUsed(ts *testscript.TestScript, h *registrytest.Registry, args []string) error {
	user := args[0]
	if user == "anonymous" {
		user = ""
	}
	h.SetUsed(user, int(number(ts, args[1])))
	return nil
}

// login does what docker login does: it writes an account for $REGISTRY or for another host
// to a file.
//
//	login FILE USER PASSWORD [HOST]
func login(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: login FILE USER PASSWORD [HOST]")
	}
	host := ts.Getenv("REGISTRY")
	if len(args) == 4 {
		host = args[3]
	}
	raw, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": args[1], "password": args[2]}}})
	ts.Check(err)
	file := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
	ts.Check(os.WriteFile(file, raw, 0o600))
}
