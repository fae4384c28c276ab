package kubelet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/pullrecords"
)

// defaults are those of a kubelet with a configuration file.
func defaults() config {
	return config{
		Policy: pullrecords.NeverVerifyPreloadedImages, Address: "0.0.0.0", Port: 10250,
		Endpoint: "unix:///run/containerd/containerd.sock", ImageGCHigh: 85,
	}
}

// TestConfigPrecedence checks what becomes of the file, the drop-ins and the flags. A
// kubelet 1.35.4 makes the same of them, as its log at --v=5 shows.
func TestConfigPrecedence(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string // below the directory of the configuration
		flags string
		want  func(*config)
	}{
		{name: "flags only", flags: "--feature-gates=KubeletPSI=true,ImageVolume=false --feature-gates= --feature-gates=ImageVolume=1", want: func(c *config) {
			c.ReadOnlyPort = 10255
			c.Gates = map[string]bool{"KubeletPSI": true, "ImageVolume": true}
		}},
		{name: "file", files: map[string]string{"k.yaml": "port: 1\nreadOnlyPort: 2\naddress: 192.0.2.1\nunknown: [1]\n"}, flags: "--config=k.yaml", want: func(c *config) {
			c.Port, c.ReadOnlyPort, c.Address = 1, 2, "192.0.2.1"
		}},
		{name: "the last of a key that appears twice", files: map[string]string{"k.yaml": "port: 1\nport: 2\nPORT: 9\nfeatureGates: {KubeletPSI: true, KubeletPSI: false}\n"}, flags: "--config=k.yaml", want: func(c *config) {
			c.Port, c.Gates = 2, map[string]bool{"KubeletPSI": false}
		}},
		{name: "the first document", files: map[string]string{"k.yaml": "port: 7\n---\nport: 8\n"}, flags: "--config=k.yaml", want: func(c *config) { c.Port = 7 }},
		{name: "JSON with tabs", files: map[string]string{"k.json": ""}, flags: "--config=k.json", want: func(c *config) {
			c.Port, c.Gates = 7, map[string]bool{"KubeletPSI": true}
		}},
		{name: "null and empty are the default", files: map[string]string{"k.yaml": "port: null\naddress: \"\"\nimagePullCredentialsVerificationPolicy: ~\nfeatureGates: null\nimageGCHighThresholdPercent: null\n"}, flags: "--config=k.yaml", want: func(*config) {}},
		{name: "flags over drop-ins over the file",
			files: map[string]string{
				"k.yaml":         "port: 1\nreadOnlyPort: 1\nimageGCHighThresholdPercent: 91\nfeatureGates: {KubeletPSI: true, ImageVolume: true, NodeSwap: true}\n",
				"d/10.conf":      "readOnlyPort: 2\nimageGCHighThresholdPercent: 92\nfeatureGates: {ImageVolume: false, NodeSwap: null}\n",
				"d/20.conf":      "imageGCHighThresholdPercent: 93\n",
				"d/15/x.conf":    "readOnlyPort: 15\n",
				"d/99.yaml":      "port: 99\n",
				"d/.hidden.conf": "address: 192.0.2.9\nfeatureGates: {ContextualLogging: true}\n",
			},
			flags: "--config k.yaml --config-dir d --image-gc-high-threshold=94 --feature-gates=KubeletPSI=false",
			want: func(c *config) {
				c.Port, c.ReadOnlyPort, c.ImageGCHigh, c.Address = 1, 15, 94, "192.0.2.9"
				c.Gates = map[string]bool{"KubeletPSI": false, "ImageVolume": false, "ContextualLogging": true}
			}},
		{name: "null in a drop-in sets the default",
			files: map[string]string{"k.yaml": "port: 1\nstaticPodPath: /a\nimagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages\npreloadedImagesVerificationAllowlist: [a.example/b, c.example/d]\nfeatureGates: {KubeletPSI: true}\n", "d/1.conf": "port: null\nstaticPodPath: null\nfeatureGates: null\n", "d/2.conf": "preloadedImagesVerificationAllowlist: [e.example/f/*]\n"},
			flags: "--config k.yaml --config-dir d",
			want: func(c *config) {
				c.Policy, c.Allowlist = pullrecords.NeverVerifyAllowlistedImages, []string{"e.example/f/*"}
			}},
		{name: "the legacy read-only port stays with drop-ins alone", files: map[string]string{"d/1.conf": "port: 5\n"}, flags: "--config-dir=d", want: func(c *config) {
			c.Port, c.ReadOnlyPort = 5, 10255
		}},
		{name: "relative static pods", files: map[string]string{"sub/k.yaml": "staticPodPath: manifests\n"}, flags: "--config sub/k.yaml", want: func(c *config) { c.StaticPods = "DIR/sub/manifests" }},
		{name: "the last flag counts", flags: "--port=1 --port 2 -- --port=3", want: func(c *config) { c.Port, c.ReadOnlyPort = 2, 10255 }},
		{name: "a socket without scheme", flags: "--container-runtime-endpoint /run/x.sock --image-service-endpoint unix:///run/y.sock", want: func(c *config) {
			c.Endpoint, c.ImageEndpoint, c.ReadOnlyPort = "unix:///run/x.sock", "unix:///run/y.sock", 10255
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := &system{t: t}
			for name, text := range test.files {
				text = kubeletConfig + text
				if filepath.Ext(name) == ".json" {
					text = "{\n\t\"kind\":\t\"KubeletConfiguration\",\n\t\"apiVersion\": \"kubelet.config.k8s.io/v1beta1\",\n\t\"port\":\t7,\n\t\"featureGates\": {\n\t\t\"KubeletPSI\":true\n\t}\n}\n"
				}
				s.write(filepath.Join(dir, name), text)
			}
			c := finder{}.prepare(start{dir: dir, args: strings.Fields(test.flags)}, nil)
			s.check(c.err)
			want := defaults()
			test.want(&want)
			c.config.StaticPods = strings.Replace(c.config.StaticPods, dir, "DIR", 1)
			if len(c.config.Gates) == 0 {
				c.config.Gates = nil
			}
			if diff := cmp.Diff(want, c.config); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestConfigHostile checks that a file that cannot be used is an error with file and
// position, and costs neither memory nor time.
func TestConfigHostile(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"a comment", "# nothing\n", "line 1: not a KubeletConfiguration"},
		{"a list", "- a\n", "line 1: not a KubeletConfiguration"},
		{"binary", "\x7fELF\x00\x01", "control characters are not allowed"},
		{"cut", kubeletConfig + "featureGates: {A: tr", "line 2: did not find expected ',' or '}'"},
		{"of another kind", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: CredentialProviderConfig\n", `line 1: apiVersion "kubelet.config.k8s.io/v1beta1", kind "CredentialProviderConfig" instead of kubelet.config.k8s.io/v1beta1, KubeletConfiguration`},
		{"a kind that is a list", "kind: [a]\n", `line 1: apiVersion "", kind "" instead of kubelet.config.k8s.io/v1beta1, KubeletConfiguration`},
		{"text for a number", kubeletConfig + "port: many\n", "port: line 3: cannot unmarshal !!str `many` into int"},
		{"a list for text", kubeletConfig + "staticPodPath:\n- a\n", "staticPodPath: line 4: cannot unmarshal !!seq into string"},
		{"text for a gate", kubeletConfig + "featureGates:\n  A: maybe\n", "featureGates: line 4: cannot unmarshal !!str `maybe` into bool"},
		{"text for the gates", kubeletConfig + "featureGates: all\n", "featureGates: line 3: not a mapping"},
		{"a number for the list", kubeletConfig + "preloadedImagesVerificationAllowlist: 7\n", "preloadedImagesVerificationAllowlist: line 3: cannot unmarshal !!int `7` into []string"},
		{"aliases without end", kubeletConfig + "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\npreloadedImagesVerificationAllowlist: [*f,*f,*f,*f,*f,*f,*f,*f]\n", "preloadedImagesVerificationAllowlist: line 8: cannot unmarshal !!seq into string"},
		{"too large", strings.Repeat(" ", maxFile+1), "larger than 1048576 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "k.yaml")
			(&system{t: t}).write(name, test.text)
			var c config
			_, err := c.read("", "/", flags{config: name})
			var at *ConfigError
			if !errors.As(err, &at) || at.File != name || at.Err.Error() != test.want {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

// TestConfigFiles checks what is no file, and a directory of drop-ins without end.
func TestConfigFiles(t *testing.T) {
	dir := t.TempDir()
	s := &system{t: t}
	for range 2 {
		s.mkdir(filepath.Join(dir, "many"))
	}
	for i := range maxDropIns + 1 {
		s.check(os.Symlink("/dev/zero", filepath.Join(dir, "many", strings.Repeat("x", i%200+1)+string(rune('a'+i/200))+".conf")))
	}
	s.check(os.Symlink("loop", filepath.Join(dir, "loop")))
	for _, test := range []struct {
		f    flags
		want string
	}{
		{flags{config: dir}, "DIR: not a regular file"},
		{flags{config: "/dev/zero"}, "/dev/zero: not a regular file"},
		{flags{config: dir + "/loop"}, "DIR/loop: too many levels of symbolic links"},
		{flags{configDir: dir + "/none"}, "DIR/none: no such file or directory"},
		{flags{configDir: dir + "/many"}, "DIR/many: more than 256 files"},
	} {
		var c config
		_, err := c.read("", "/", test.f)
		if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != test.want {
			t.Errorf("%+v: got %s, want %s", test.f, got, test.want)
		}
	}
}

// TestRecordsEnabled checks the feature gate by version, and the gates of a whole stage.
func TestRecordsEnabled(t *testing.T) {
	for _, test := range []struct {
		version string
		gates   map[string]bool
		want    bool
	}{
		{"v1.32.9", map[string]bool{gateName: true}, false},
		{"v1.34.9", nil, false},
		{"v1.34.9", map[string]bool{gateName: true}, true},
		{"v1.34.9", map[string]bool{"AllAlpha": true}, true},
		{"v1.34.9", map[string]bool{"AllBeta": true}, false},
		{"v1.35.4", nil, true},
		{"v1.35.4+k3s1", map[string]bool{"AllAlpha": false}, true},
		{"v1.36.0-rc.1", map[string]bool{"AllBeta": false}, false},
		{"v1.37.2", map[string]bool{"AllBeta": false, gateName: true}, true},
		{"v1.37.2", map[string]bool{gateName: false}, false},
		{"", nil, true},
		{"", map[string]bool{gateName: false}, false},
	} {
		if got := recordsEnabled(test.gates, test.version); got != test.want {
			t.Errorf("%q %v: got %t", test.version, test.gates, got)
		}
	}
}

// FuzzSettings checks that no file of a configuration, unit or k3s makes the search fail
// otherwise than with an error of one line.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{kubeletConfig, kubeletConfig + "port: [\n", k3sDefaults, kubeadmDropIn, k3sUnit, microk8sArgs, "kubelet-arg+: [a, {b: c}]\n<<: *a\n", "a\\", "$", "${", "'\"\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := config{}
		err := c.apply([]byte(text), config{})
		if err == nil {
			err = options{}.merge([]byte(text))
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
		for _, line := range serviceLines(text) {
			expand(words(line), map[string]string{"A": line})
		}
		parseFlags(strings.Fields(text))
	})
}
