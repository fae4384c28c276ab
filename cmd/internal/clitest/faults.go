package clitest

import (
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"stowage/internal/registrytest"
)

// setFaults changes faults of a script's registry and keeps the others.
//
//	fail=STATUS:TIMES   answers with a status  toomany=TIMES     429 of the abuse limit
//	corrupt=TIMES       flips a bit            cut=BYTES:TIMES   closes the connection
//	stall=BYTES:TIMES   stops sending          headstatus=CODE   answers HEADs of manifests
//	rate=BYTES          per second, each       linkrate=BYTES    per second, all connections
//	latency=DURATION    before each response   ranges=ignored|refused|wrong
//	retryafter=TEXT     of every 429 and 5xx   nodigest=true     no Docker-Content-Digest
//	noreferrers=true    no referrers API
//	kind=blob|manifest  of the requests        path=TEXT         substring of their paths
//
// TIMES is a number or "always".
func setFaults(ts *testscript.TestScript, h *registrytest.Registry, args []string) error {
	h.SetFaults(func(f *registrytest.Faults) {
		pairs(ts, args, func(key, value string) { setFault(ts, f, key, value) })
	})
	return nil
}

func setFault(ts *testscript.TestScript, f *registrytest.Faults, key, value string) {
	switch key {
	case "fail":
		status, times := atTimes(ts, value)
		f.Fail = registrytest.Failure{Status: int(status), Times: times}
	case "toomany":
		f.TooMany = timesOf(ts, value)
	case "corrupt":
		f.Corrupt = timesOf(ts, value)
	case "cut":
		f.Cut.After, f.Cut.Times = atTimes(ts, value)
	case "stall":
		f.Stall.After, f.Stall.Times = atTimes(ts, value)
	case "headstatus":
		f.HeadStatus = int(number(ts, value))
	case "rate":
		f.ConnRate = number(ts, value)
	case "linkrate":
		f.LinkRate = number(ts, value)
	case "latency":
		d, err := time.ParseDuration(value)
		ts.Check(err)
		f.Latency = d
	case "ranges":
		mode, ok := map[string]registrytest.RangeMode{"ignored": registrytest.RangesIgnored, "refused": registrytest.RangesBadRequest, "wrong": registrytest.RangesWrongBytes}[value]
		if !ok {
			ts.Fatalf("registry set ranges=%s", value)
		}
		f.Ranges = mode
	case "retryafter":
		f.RetryAfter = value
	case "nodigest":
		f.NoDigest = value == "true"
	case "noreferrers":
		f.NoReferrers = value == "true"
	case "kind":
		f.Only.Kinds = []registrytest.Kind{registrytest.Kind(value)}
	case "path":
		f.Only.Path = value
	default:
		ts.Fatalf("registry set: no such fault: %s", key)
	}
}

// atTimes parses N:TIMES.
func atTimes(ts *testscript.TestScript, text string) (int64, registrytest.Times) {
	n, times, ok := strings.Cut(text, ":")
	if !ok {
		ts.Fatalf("%q: want N:TIMES", text)
	}
	return number(ts, n), timesOf(ts, times)
}

func timesOf(ts *testscript.TestScript, text string) registrytest.Times {
	if text == "always" {
		return registrytest.Always
	}
	return registrytest.Times(number(ts, text))
}
