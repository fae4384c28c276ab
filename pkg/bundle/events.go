package bundle

import (
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// An Event reports the progress of a [Make]. It is one of the types below. Warnings of the
// registries are not among them: they go to the callback of [Options].Pull.
type Event interface{ event() }

// EventResolve reports that the images are about to be looked up.
type EventResolve struct{ Images int }

// EventEstimate reports what the run will cost, before its first counted request.
type EventEstimate struct{ pull.Estimate }

// EventSkip reports an image that will not be in the bundle, or not for all platforms.
type EventSkip struct{ archive.Skipped }

// EventArtifact reports an artifact in the bundle, which has no root file system. No node can
// mount it as an image volume, and the bundle says so to those that load it.
type EventArtifact struct{ Image }

// EventStart reports the start of a stage.
type EventStart struct {
	Stage Stage
	Bytes int64 // to fetch or to compress, those of Kept included
	Kept  int64 // bytes that an earlier run has fetched
	Blobs int   // to fetch
	Parts []Part
}

// A Part is an image of which blobs are fetched. A blob of several images belongs to the
// first.
type Part struct {
	Name  string
	Bytes int64 // of the blobs, those of Kept included
	Kept  int64 // bytes that an earlier run has fetched
	Blobs []digest.Digest
}

// EventBytes reports bytes done since the last EventBytes of a stage, a negative number for
// bytes that are fetched again because they were wrong. With Kept they sum up to the Bytes of
// the stage. It comes from several goroutines at once.
type EventBytes struct {
	N    int64
	Host string // registry that sent them; empty when none did
	Blob digest.Digest
}

// EventFinish reports the end of a stage, complete or not.
type EventFinish struct{ Stage Stage }

// EventKept reports that a pull limit ends the run and what it keeps for the next one.
type EventKept struct {
	Images int   // images whose blobs are all fetched
	Of     int   // images of the request
	Err    error // why not all blobs of these images could be fetched
}

// A Stage is a part of a run that takes long.
type Stage string

// The stages.
const (
	Fetch    Stage = "fetch"    // blobs from registries
	Compress Stage = "compress" // the complete file
)

func (EventResolve) event()  {}
func (EventEstimate) event() {}
func (EventSkip) event()     {}
func (EventArtifact) event() {}
func (EventStart) event()    {}
func (EventBytes) event()    {}
func (EventFinish) event()   {}
func (EventKept) event()     {}
