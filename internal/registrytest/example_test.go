package registrytest_test

import (
	"fmt"
	"io"
	"net/http"

	"stowage/internal/registrytest"
)

// A connection that is cut once, and a quota of two pulls that is used up.
func Example() {
	h, err := registrytest.New(registrytest.Options{Policy: registrytest.Policy{AnonymousQuota: 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	if _, err := h.AddImage("library/busybox", "1.36", registrytest.Image{}); err != nil {
		fmt.Println(err)
		return
	}
	h.SetFaults(func(f *registrytest.Faults) { f.Cut = registrytest.Interrupt{After: 100, Times: 1} })
	for range 3 {
		res, err := http.Get(h.URL() + "/v2/library/busybox/manifests/1.36")
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		fmt.Println(res.StatusCode, res.Header.Get("ratelimit-remaining"), err)
	}
	c := h.Counts()
	fmt.Println("requests", c.ManifestGets, "counted", c.Counted, "refused", c.TooMany)
	// Output:
	// 200 1;w=21600 unexpected EOF
	// 200 0;w=21600 <nil>
	// 429 0;w=21600 <nil>
	// requests 3 counted 2 refused 1
}

// Faults with a filter apply to one blob, one kind of request or one host.
func ExampleRegistry_AddFaults() {
	h, err := registrytest.New(registrytest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	bad, good := h.AddBlob("app", []byte("bad")), h.AddBlob("app", []byte("good"))
	remove := h.AddFaults(registrytest.Faults{
		Only: registrytest.Filter{Path: bad.Digest.String(), Methods: []string{"GET"}},
		Fail: registrytest.Failure{Status: 500, Times: registrytest.Always},
	})
	status := func(d string) {
		res, err := http.Get(h.URL() + "/v2/app/blobs/" + d)
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
		fmt.Println(res.StatusCode)
	}
	status(bad.Digest.String())
	status(good.Digest.String())
	remove()
	status(bad.Digest.String())
	// Output:
	// 500
	// 200
	// 200
}
