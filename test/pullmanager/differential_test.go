package pullmanager

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/klog/v2"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/images/pullmanager"

	"stowage/internal/pullrecords"
)

var (
	version = flag.String("kubernetes", "v1.37.2", "the version of Kubernetes that the test is built with")
	states  = flag.Int("states", 100_000, "random states to compare")
	seed    = flag.Uint64("seed", 1, "seed of the states")
	only    = flag.Int("state", -1, "compare this state of the seed only, and print it")
)

func TestMain(m *testing.M) {
	klog.SetLogger(klog.Logger{}) // drops what it gets
	os.Exit(m.Run())
}

// run makes the states and calls f for each, in one goroutine for each processor. f gets a
// directory of its goroutine. It returns how often each thing occurred.
func run(t *testing.T, f func(g *generator, root string) error) map[string]int {
	t.Helper()
	var next, failed atomic.Int64
	var mu sync.Mutex
	total := map[string]int{}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		root := t.TempDir()
		wg.Go(func() {
			hits := map[string]int{}
			for failed.Load() < 5 {
				n := int(next.Add(1) - 1)
				if *only >= 0 {
					n += *only
				}
				if n >= *states || *only >= 0 && n != *only {
					break
				}
				g := &generator{Rand: rand.New(rand.NewPCG(*seed, uint64(n))), hit: func(what string) { hits[what]++ }}
				if err := f(g, root); err != nil {
					failed.Add(1)
					t.Errorf("repeat with -seed=%d -state=%d: %v", *seed, n, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for what, n := range hits {
				total[what] += n
			}
		})
	}
	wg.Wait()
	return total
}

// validPattern reports whether the kubelet accepts the pattern in its allowlist.
func validPattern(pattern string) bool {
	_, err := pullmanager.NewImagePullCredentialVerificationPolicy(kubeletconfig.NeverVerifyAllowlistedImages, []string{pattern})
	return err == nil
}

// TestSameAnswer asks the kubelet's pull manager and ours the same questions in random
// states, in half of them with the images that turn intents into records at the start.
func TestSameAnswer(t *testing.T) {
	before := checks(t)
	hits := run(t, func(g *generator, root string) error {
		g.named = g.chance(50)
		s := g.state(*version, validPattern)
		if *only >= 0 {
			fmt.Printf("%+v\n", *s)
		}
		return compare(g, s, root)
	})
	if *only >= 0 {
		return
	}
	for result, n := range checks(t) {
		if want := hits["result: "+result]; n-before[result] != want {
			t.Errorf("the kubelet counted %d times %s, we %d times", n-before[result], result, want)
		}
	}
	demand(t, hits, minimum)
}

// compare asks both the questions of s.
func compare(g *generator, s *state, root string) error {
	if err := s.write(root); err != nil {
		return err
	}
	ours, err := pullrecords.Read(root)
	if err != nil {
		return err
	}
	before := len(ours.Intents())
	ours.AtStart(s.present())
	if n := len(ours.Intents()); n < before {
		g.hit("start: intent of a present image")
	} else if n > 0 && len(s.images) > 0 {
		g.hit("start: intents stay")
	}
	real, err := start(root, s.settings, s.images)
	if err != nil {
		return err
	}
	// What the start has made of the files is the same state again. Files with a wrong name
	// are not: the kubelet has overwritten one and remembers what it had in it.
	after := ours
	if g.named {
		if after, err = pullrecords.Read(root); err != nil {
			return err
		}
	}
	for _, q := range s.questions {
		want, err := real.pulls(q.name, q.id, q.pod)
		if err != nil {
			return err
		}
		d := ours.Decide(s.settings, q.name, q.id, q.pod)
		if d.Pull != want {
			return fmt.Errorf("%q as %q: the kubelet pulls: %v; ours: %+v", q.name, q.id, want, d)
		}
		if again := after.Decide(s.settings, q.name, q.id, q.pod); again.Pull != want || again.Reason != d.Reason {
			return fmt.Errorf("%q as %q: %+v from the files before the start and %+v from those after", q.name, q.id, d, again)
		}
		note(g, s, q, d)
		if d.Reason == pullrecords.Credentials {
			break // the kubelet may have added to its record
		}
	}
	return nil
}

// note counts what the answer to a question shows.
func note(g *generator, s *state, q question, d pullrecords.Decision) {
	g.hit("reason: " + string(d.Reason))
	g.hit("policy: " + string(s.settings.Policy))
	if r := d.Reason.Result(); r != "" {
		g.hit("result: " + r)
	}
	if d.Reason == pullrecords.Credentials {
		kind := "secret"
		if strings.Contains(d.Text, "service account") {
			kind = "service account"
		}
		g.hit("credentials: " + kind)
	}
	for _, p := range q.pod.Secrets {
		if d.Reason == pullrecords.Secrets && p.UID == "many" && slices.Contains(d.Secrets, p.Namespace+"/"+p.Name) {
			g.hit("secrets: known with other credentials, in a full record")
		}
	}
	if _, ok := s.present()[q.name]; ok && d.Reason == pullrecords.NoCredentials {
		g.hit("start: recorded without credentials")
	}
}

// minimum is how often each thing occurs at least in 100,000 states: the test shows nothing
// about what does not occur.
var minimum = map[string]int{
	"policy: NeverVerify":                  1000,
	"policy: NeverVerifyPreloadedImages":   1000,
	"policy: NeverVerifyAllowlistedImages": 1000,
	"policy: AlwaysVerify":                 1000,

	"reason: not-verified":    1000,
	"reason: preloaded":       1000,
	"reason: allowlisted":     1000,
	"reason: node-accessible": 1000,
	"reason: credentials":     1000,
	"reason: not-present":     1000,
	"reason: unreadable":      1000,
	"reason: bad-name":        500,
	"reason: policy":          1000,
	"reason: not-allowed":     1000,
	"reason: interrupted":     1000,
	"reason: repository":      1000,
	"reason: secrets":         1000,
	"reason: no-credentials":  1000,

	"result: credentialPolicyAllowed": 1000,
	"result: credentialRecordFound":   1000,
	"result: mustAuthenticate":        1000,
	"result: error":                   1000,

	"credentials: secret":          1000,
	"credentials: service account": 250,
	"record: 99 secrets":           500,
	"record: 100 secrets":          500,
	"record: 101 secrets":          500,

	"secrets: known with other credentials, in a full record": 20,

	"start: intent of a present image":    1000,
	"start: intents stay":                 1000,
	"start: recorded without credentials": 500,

	"file: named after nothing":      1000,
	"file: named after another id":   1000,
	"file: named after another name": 1000,
	"file: temporary":                1000,
	"file: not of the kubelet":       1000,
}

func init() {
	for _, d := range damages {
		minimum["damage: "+d.what] = 50
	}
}

// demand fails the test unless hits has the minimum of everything.
func demand(t *testing.T, hits, minimum map[string]int) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(minimum)) {
		want := minimum[what] * *states / 100_000
		if hits[what] < want {
			t.Errorf("%s: %d times, want %d", what, hits[what], want)
		}
		t.Logf("%-42s %7d", what, hits[what])
	}
}

// TestWrites starts the kubelet's pull manager on what RemoveIntents and Trust have written:
// it reads the files, they have the effect, and all else is decided as before.
func TestWrites(t *testing.T) {
	*states /= 10
	defer func() { *states *= 10 }()
	hits := run(t, func(g *generator, root string) error {
		g.named = true
		s := g.state(*version, validPattern)
		if g.chance(50) {
			return trust(g, s, root)
		}
		return removeIntents(g, s, root)
	})
	if *only < 0 {
		demand(t, hits, map[string]int{
			"trust: pulled before": 10_000, "trust: as before": 10_000, "trust: still refused": 1000,
			"remove: used now": 200, "remove: never recorded": 500, "remove: as before": 10_000,
		})
	}
}

// trust trusts an image under two of its names. The kubelet accepts these without
// credentials, and decides on other repositories of the record as it did.
func trust(g *generator, s *state, root string) error {
	id, trusted := pick(g, ids), []string{pick(g, names), pick(g, names)}
	if err := s.write(root); err != nil {
		return err
	}
	records, err := pullrecords.Read(root)
	if err != nil {
		return err
	}
	settings := s.settings
	settings.Process = uint32(g.IntN(pullrecords.MaxProcess + 1)) // what the kubelet reads all the same
	if err := pullrecords.Trust(root, settings, id, trusted...); err != nil {
		if strings.Contains(err.Error(), "newer kubelet") {
			g.hit("trust: newer")
			return nil
		}
		return err
	}
	expected, err := pullrecords.Read(root)
	if err != nil {
		return err
	}
	expected.AtStart(s.present())
	real, err := start(root, s.settings, s.images)
	if err != nil {
		return err
	}
	records.AtStart(s.present())
	for _, name := range names {
		was := records.Decide(s.settings, name, id, pullrecords.Pod{})
		d := expected.Decide(s.settings, name, id, pullrecords.Pod{})
		now, err := real.pulls(name, id, pullrecords.Pod{})
		switch same := sameRepository(name, trusted); {
		case err != nil:
			return err
		case now != d.Pull:
			return fmt.Errorf("%q: pulled %v after Trust of %q; ours: %+v", name, now, trusted, d)
		case same && now:
			return fmt.Errorf("%q is pulled after Trust of %q, was %+v", name, trusted, was)
		case same && was.Pull:
			g.hit("trust: pulled before")
		case same:
		case was.Reason == pullrecords.Preloaded: // refused now, as Trust documents
			g.hit("trust: still refused")
		case was.Reason == pullrecords.Unreadable: // its record has been replaced
		case now != was.Pull:
			return fmt.Errorf("%q: pulled %v after Trust of %q, was %+v", name, now, trusted, was)
		default:
			g.hit("trust: as before")
		}
	}
	return nil
}

// removeIntents removes the intents of one name. The kubelet decides on it as without
// intents, and on others as it did.
func removeIntents(g *generator, s *state, root string) error {
	removed := pick(g, append(s.intents, pick(g, names)))
	if err := s.write(root); err != nil {
		return err
	}
	records, err := pullrecords.Read(root)
	if err != nil {
		return err
	}
	if _, err := pullrecords.RemoveIntents(root, []string{removed}); err != nil {
		return err
	}
	expected, err := pullrecords.Read(root)
	if err != nil {
		return err
	}
	expected.AtStart(s.present())
	real, err := start(root, s.settings, s.images)
	if err != nil {
		return err
	}
	records.AtStart(s.present())
	for _, name := range append([]string{removed}, names...) {
		id := pick(g, ids)
		was := records.Decide(s.settings, name, id, pullrecords.Pod{})
		d := expected.Decide(s.settings, name, id, pullrecords.Pod{})
		now, err := real.pulls(name, id, pullrecords.Pod{})
		switch {
		case err != nil:
			return err
		case now != d.Pull:
			return fmt.Errorf("%q as %q: pulled %v without the intent of %q; ours: %+v", name, id, now, removed, d)
		case was.Reason == pullrecords.Interrupted && name == removed && now:
			return fmt.Errorf("%q as %q is pulled without its intent, was %+v", name, id, was)
		case now == was.Pull:
			g.hit("remove: as before")
		case was.Reason == pullrecords.Interrupted && sameRepository(name, []string{removed}):
			g.hit("remove: used now")
		case was.Reason == pullrecords.NoCredentials: // of a record that the start no longer makes
			g.hit("remove: never recorded")
		case was.Reason != pullrecords.Unreadable && d.Reason != pullrecords.Unreadable:
			return fmt.Errorf("%q as %q: pulled %v without the intent of %q, was %+v", name, id, now, removed, was)
		}
	}
	return nil
}
