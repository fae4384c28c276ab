package scan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// truth is the image list that a manifest of the corpus contains.
type truth struct {
	Manifest string
	Facts    struct {
		Documents        int
		Parses           bool
		PullPolicyAlways int      `json:"pull_policy_always"`
		ImagePullSecrets []string `json:"image_pull_secrets"`
	}
	Required, Indirect, Neutral, Unwritten []struct{ Image, Form string }
	Not                                    []struct{ Text string }
}

// corpusDir returns the directory of real manifests with their truth beside the module; the
// tests of this package do not need them.
func corpusDir(tb testing.TB) string {
	dir := filepath.Join("..", "..", "..", "shared", "corpus")
	if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
		tb.Skip("no corpus of manifests here")
	}
	return dir
}

// variants returns the names that count as the given image: a tag beside a digest may be
// left out.
func variants(image string) []string {
	n, ok := parseName(image)
	if !ok {
		return []string{image}
	}
	out := []string{n.full}
	if n.tag != "" && n.digest != "" {
		out = append(out, strings.Replace(n.full, ":"+n.tag+"@", "@", 1))
	}
	return out
}

// score is the sum over the corpus.
type score struct {
	good, wrong, required, requiredFound, indirect, indirectFound, traps, misclassed int
}

func (s *score) add(t *testing.T, tr truth, res *Result) {
	got := map[string]Class{}
	for _, r := range res.Images() {
		got[r.Name] = r.Class
	}
	used := map[string]bool{}
	find := func(image string, class Class) bool {
		hit := false
		for _, v := range variants(image) {
			if c, is := got[v]; is {
				hit, used[v] = true, true
				if c != class {
					s.misclassed++
					t.Errorf("%s: %s is %s, want %s", tr.Manifest, image, c, class)
				}
			}
		}
		if !hit {
			t.Logf("%s: %s %s missed", tr.Manifest, class, image)
		}
		return hit
	}
	for _, e := range tr.Required {
		s.required++
		if find(e.Image, Required) {
			s.requiredFound++
		}
	}
	for _, e := range tr.Indirect {
		s.indirect++
		if find(e.Image, Indirect) {
			s.indirectFound++
		}
	}
	neutral := map[string]bool{}
	for _, e := range append(tr.Neutral, tr.Unwritten...) {
		for _, v := range variants(e.Image) {
			neutral[v] = true
		}
	}
	for name := range got {
		if !used[name] && !neutral[name] {
			s.wrong++
			t.Logf("%s: false: %s", tr.Manifest, name)
		}
	}
	for _, e := range tr.Not {
		for _, v := range variants(e.Text) {
			if _, is := got[v]; is {
				s.traps++
			}
		}
	}
}

// TestCorpus holds the marks over real manifests: no required image missed, next to nothing
// false.
func TestCorpus(t *testing.T) {
	dir := corpusDir(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.truth.json"))
	if err != nil || len(files) < 90 {
		t.Fatalf("corpus has %d files: %v", len(files), err)
	}
	var sum score
	for _, f := range files {
		var tr truth
		b, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(b, &tr)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := New(Options{})
		in, err := os.Open(filepath.Join(dir, tr.Manifest))
		if err != nil {
			t.Fatal(err)
		}
		err = s.Scan(tr.Manifest, in)
		in.Close()
		if (err == nil) != tr.Facts.Parses {
			t.Errorf("%s: error %v, parses %v", tr.Manifest, err, tr.Facts.Parses)
		}
		res := s.Result()
		sum.add(t, tr, res)
		checkFacts(t, tr, res)
	}
	sum.good = sum.requiredFound + sum.indirectFound
	precision := float64(sum.good) / float64(sum.good+sum.wrong)
	t.Logf("precision %.4f, required %d of %d, indirect %d of %d, traps hit %d", precision,
		sum.requiredFound, sum.required, sum.indirectFound, sum.indirect, sum.traps)
	if precision < 0.99 || sum.requiredFound < sum.required || float64(sum.indirectFound) < 0.94*float64(sum.indirect) || sum.traps > 0 {
		t.Error("below the marks: precision 0.99, required 1, indirect 0.94, no trap")
	}
}

// checkFacts compares what the truth says beside the images.
func checkFacts(t *testing.T, tr truth, res *Result) {
	if !tr.Facts.Parses {
		return
	}
	always := 0
	for _, w := range res.Warnings {
		if w.Code == CodePullPolicyAlways && !strings.Contains(w.Field, " > ") {
			always++
		}
	}
	if always != tr.Facts.PullPolicyAlways {
		t.Errorf("%s: %d times imagePullPolicy Always, want %d", tr.Manifest, always, tr.Facts.PullPolicyAlways)
	}
	if res.Documents != tr.Facts.Documents {
		t.Errorf("%s: %d documents, want %d", tr.Manifest, res.Documents, tr.Facts.Documents)
	}
	secrets := map[string]bool{}
	for _, ref := range res.References {
		for _, s := range ref.PullSecrets {
			secrets[s[strings.IndexByte(s, '/')+1:]] = true
		}
	}
	var names []string
	for s := range secrets {
		names = append(names, s)
	}
	sort.Strings(names)
	if len(res.References) > 0 && strings.Join(names, ",") != strings.Join(tr.Facts.ImagePullSecrets, ",") {
		t.Errorf("%s: pull secrets %v, want %v", tr.Manifest, names, tr.Facts.ImagePullSecrets)
	}
}
