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

	"stowage/internal/hub"
	"stowage/internal/hub/hubtest"
)

// hubCommand is the registry of a script: a real one, see the package internal/hub.
//
//	hub start [auth=none|basic|bearer] [account=USER:PASSWORD[:QUOTA]]... [anonymous=refuse|QUOTA]
//	          [origin=HOST,...] [redirect=true] [hidemissing=true] [public=PATTERN,...]
//	hub calico [scale=N] [run=true]       the three images of calico.yaml
//	hub image REPO:TAG [size=BYTES] [layers=N] [platforms=A,B] [seed=N] [run=true]
//	hub sign REPO:TAG                     a signature as cosign 2 keeps it, under a tag
//	hub refer REPO:TAG                    one as cosign 3 does, with a subject
//	hub rm REPO REF                       a tag, manifest or blob is gone
//	hub move REPO TAG OTHER               TAG means from now on what OTHER means
//	hub set KEY=VALUE...                  faults, see faults.go
//	hub heal                              ends all faults
//	hub wait stalled                      until an answer is stalled (see the fault "stall")
//	hub release                           lets stalled answers go on
//	hub used USER N                       sets what an account (or "anonymous") has used up
//	hub reset                             the counters begin anew
//	hub counts KEY=N KEY>=N...            wants counters, see counts.go
//
// start sets $HUB to its host. With origin it also stands in for registries of the real
// world, over TLS and through a proxy: the script may then say docker.io and mean it.
func hubCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: hub start|%s ...", strings.Join(slices.Sorted(maps.Keys(hubCommands)), "|"))
	}
	if args[0] == "start" {
		startHub(ts, args[1:])
		return
	}
	do, ok := hubCommands[args[0]]
	if !ok {
		ts.Fatalf("hub %s: no such command", args[0])
	}
	h := stateOf(ts).hub
	if h == nil {
		ts.Fatalf("hub %s: hub start comes first", args[0])
	}
	ts.Check(do(ts, h, args[1:]))
}

type hubFunc func(ts *testscript.TestScript, h *hub.Hub, args []string) error

var hubCommands map[string]hubFunc

func init() {
	hubCommands = map[string]hubFunc{
		"calico": addCalico,
		"image":  addImage,
		"sign": func(_ *testscript.TestScript, h *hub.Hub, args []string) error {
			return sign(h, args[0], func(repo string, of ocispec.Descriptor) (hub.Added, error) { return h.AddCosignTag(repo, of.Digest) })
		},
		"refer": func(_ *testscript.TestScript, h *hub.Hub, args []string) error {
			return sign(h, args[0], h.AddReferrer)
		},
		"rm": func(_ *testscript.TestScript, h *hub.Hub, args []string) error {
			return h.Delete(args[0], args[1])
		},
		"move": moveTag,
		"set":  setFaults,
		"heal": func(_ *testscript.TestScript, h *hub.Hub, _ []string) error {
			h.Set(hub.Heal)
			return nil
		},
		"wait": waitStalled,
		"release": func(_ *testscript.TestScript, h *hub.Hub, _ []string) error {
			h.Release()
			return nil
		},
		"used": setUsed,
		"reset": func(_ *testscript.TestScript, h *hub.Hub, _ []string) error {
			h.Reset()
			return nil
		},
		"counts": wantCounts,
	}
}

// pairs splits KEY=VALUE arguments; the last value of a key is kept, all of them by each.
func pairs(ts *testscript.TestScript, args []string, each func(key, value string)) {
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			ts.Fatalf("%q: want KEY=VALUE", a)
		}
		each(key, value)
	}
}

// number reads an integer or ends the script.
func number(ts *testscript.TestScript, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	ts.Check(err)
	return n
}

func startHub(ts *testscript.TestScript, args []string) {
	if stateOf(ts).hub != nil {
		ts.Fatalf("hub start: there is one already")
	}
	var opts hub.Options
	p := &opts.Policy
	pairs(ts, args, func(key, value string) {
		switch key {
		case "auth":
			kind, ok := map[string]hub.Auth{"none": hub.AuthNone, "basic": hub.AuthBasic, "bearer": hub.AuthBearer}[value]
			if !ok {
				ts.Fatalf("hub start: auth=%s", value)
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
			ts.Fatalf("hub start: no such setting: %s", key)
		}
	})
	h := hubtest.Start(stateOf(ts).t, opts)
	stateOf(ts).hub = h
	ts.Setenv("HUB", h.Host())
	if opts.TLS {
		ca := ts.MkAbs(".hub-ca.pem")
		ts.Check(os.WriteFile(ca, h.CAPEM(), 0o644))
		ts.Setenv("SSL_CERT_FILE", ca)
		ts.Setenv("HTTPS_PROXY", h.Proxy())
	}
}

// parseAccount reads USER:PASSWORD[:QUOTA].
func parseAccount(ts *testscript.TestScript, text string) hub.Account {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		ts.Fatalf("account %q: want USER:PASSWORD[:QUOTA]", text)
	}
	a := hub.Account{User: parts[0], Password: parts[1]}
	if len(parts) == 3 {
		a.Quota = int(number(ts, parts[2]))
	}
	return a
}

func addCalico(ts *testscript.TestScript, h *hub.Hub, args []string) error {
	opts := hub.CalicoOptions{Compression: hub.GzipStored} // nothing to deflate, which the race detector slows down
	var err error
	pairs(ts, args, func(key, value string) {
		switch {
		case key == "scale":
			opts.Scale = int(number(ts, value))
		case key == "run" && value == "true":
			var program []byte
			if program, err = hub.Program(stateOf(ts).t.Context()); err == nil {
				opts.Programs = map[string][]byte{runtime.GOARCH: program}
			}
		default:
			ts.Fatalf("hub calico: no such setting: %s=%s", key, value)
		}
	})
	if err == nil {
		_, err = h.AddCalico(opts)
	}
	return err
}

// imageSpec is what a script says of an image.
type imageSpec struct {
	size      int64
	layers    int
	seed      uint64
	platforms []string
	run       bool
}

func addImage(ts *testscript.TestScript, h *hub.Hub, args []string) error {
	repo, tag, ok := strings.Cut(args[0], ":")
	if !ok {
		ts.Fatalf("hub image %s: want REPO:TAG", args[0])
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
			ts.Fatalf("hub image: no such setting: %s", key)
		}
	})
	if spec.platforms == nil {
		img, err := spec.image(ts, repo, "linux/"+runtime.GOARCH)
		if err == nil {
			_, err = h.AddImage(repo, tag, img)
		}
		return err
	}
	var idx hub.Index
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

// image is one platform of it. Repositories and platforms have layers of their own.
func (s imageSpec) image(ts *testscript.TestScript, repo, platform string) (hub.Image, error) {
	img := hub.Image{Platform: platform}
	if s.run && platform == "linux/"+runtime.GOARCH {
		program, err := hub.Program(stateOf(ts).t.Context())
		if err != nil {
			return img, err
		}
		img = hub.Hello(repo, runtime.GOARCH, program)
	}
	for i := range s.layers {
		name := strings.ReplaceAll(repo+"-"+platform, "/", "-")
		img.Layers = append(img.Layers, &hub.Layer{
			Seed:  s.seed<<32 + uint64(i),
			Files: []hub.File{{Name: "share/"}, {Name: "share/" + name + strconv.Itoa(i), Size: s.size}},
		})
	}
	return img, nil
}

// sign adds something about what a tag means.
func sign(h *hub.Hub, ref string, add func(string, ocispec.Descriptor) (hub.Added, error)) error {
	repo, tag, _ := strings.Cut(ref, ":")
	raw, err := h.Document(repo, tag)
	if err != nil {
		return err
	}
	_, err = add(repo, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digestOf(raw), Size: int64(len(raw))})
	return err
}

func moveTag(_ *testscript.TestScript, h *hub.Hub, args []string) error {
	raw, err := h.Document(args[0], args[2])
	if err != nil {
		return err
	}
	return h.Move(args[0], args[1], digestOf(raw))
}

// waitStalled returns when the hub has an answer under way that it does not go on with.
// It ends with the test at the latest.
func waitStalled(ts *testscript.TestScript, h *hub.Hub, args []string) error {
	if len(args) != 1 || args[0] != "stalled" {
		return errors.New("usage: hub wait stalled")
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

func setUsed(ts *testscript.TestScript, h *hub.Hub, args []string) error {
	user := args[0]
	if user == "anonymous" {
		user = ""
	}
	h.SetUsed(user, int(number(ts, args[1])))
	return nil
}

// login does what docker login does: it writes an account for $HUB, or for another host.
//
//	login FILE USER PASSWORD [HOST]
func login(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: login FILE USER PASSWORD [HOST]")
	}
	host := ts.Getenv("HUB")
	if len(args) == 4 {
		host = args[3]
	}
	raw, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": args[1], "password": args[2]}}})
	ts.Check(err)
	file := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
	ts.Check(os.WriteFile(file, raw, 0o600))
}
