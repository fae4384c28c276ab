package progress

import (
	"time"

	"stowage/cmd/internal/document"
)

// Event is a line of the JSON mode, as docs/json.md describes it.
type Event struct {
	Time    string           `json:"time"`                     // of the event
	Event   string           `json:"event"`                    // "message", "warning", "waiting", "error", "start", "bytes", "done", "result"
	Node    string           `json:"node,omitempty"`           // that the event is about, when load runs on several
	Phase   string           `json:"phase,omitempty"`          // of the run, with start, bytes and done
	Message string           `json:"message,omitempty"`        // for people, with message, warning, waiting and error
	Hint    string           `json:"hint,omitempty"`           // what to do next, with error
	Code    *int             `json:"exitCode,omitempty"`       // of the program, with error and result
	Errors  []document.Error `json:"errors,omitempty"`         // with error, where more is known than the message
	Done    int64            `json:"done,omitempty"`           // of the phase, with start, bytes and done
	Total   int64            `json:"total,omitempty"`          // of the phase, left out if it is not known
	Stalled int64            `json:"stalledSeconds,omitempty"` // without a byte, with bytes
	Images  []ImageBytes     `json:"images,omitempty"`         // whose bytes are on their way, with bytes
	Host    string           `json:"host,omitempty"`           // of the registry that is waited for, with waiting
	RetryAt string           `json:"retryAt,omitempty"`        // when it is asked again, with waiting
	*Result                  // with result, the last event of a run
}

// ImageBytes is the state of an image whose bytes are on their way.
type ImageBytes struct {
	Name  string `json:"name"`
	Done  int64  `json:"done"`  // of its bytes, those of an earlier run among them
	Total int64  `json:"total"` // of its bytes; those that it shares count for the first image only
}

// Result is what the summary of a run says. A field that the run has no value for is left
// out.
type Result struct {
	File     string   `json:"file,omitempty"`         // bundle that was read
	Output   string   `json:"output,omitempty"`       // file written or placed
	Identity string   `json:"identity,omitempty"`     // of the bundle
	Size     *int64   `json:"size,omitempty"`         // of the bundle
	FileSize *int64   `json:"fileSize,omitempty"`     // of what was written, which may be compressed
	SHA256   string   `json:"sha256,omitempty"`       // of what was written, with --checksum
	Names    []string `json:"names,omitempty"`        // of the images that the run was about
	Images   *int     `json:"imageCount,omitempty"`   // how many that are
	Ready    *int     `json:"readyCount,omitempty"`   // of these, those that the kubelet will find
	Skipped  *int     `json:"skippedCount,omitempty"` // that are not in the bundle
	Pulls    *int64   `json:"pullCount,omitempty"`    // counted by the registries' limits
	Sent     *int64   `json:"sentSize,omitempty"`     // to the node
	Present  *int64   `json:"presentSize,omitempty"`  // that the node had already
	Changed  *bool    `json:"changed,omitempty"`      // whether the run changed a file or the node
}

// emitBytes emits the state of the phase; d.mu is held.
func (d *Display) emitBytes(now time.Time) {
	m := d.meter
	e := Event{
		Event: "bytes", Phase: m.Name, Done: m.done, Total: max(m.Total, 0),
		Stalled: int64(m.stalled(now) / time.Second),
	}
	for _, p := range m.running {
		e.Images = append(e.Images, ImageBytes{Name: p.Name, Done: p.meter.done, Total: p.Total})
	}
	d.emit(e)
}

func (d *Display) emitResult(code int, r Result) {
	d.emit(Event{Event: "result", Code: &code, Result: &r})
}

// emit writes an event; d.mu is held.
func (d *Display) emit(e Event) {
	e.Time = time.Now().UTC().Format(time.RFC3339)
	_ = document.WriteLine(d.w, e) // there is no other place for it
}
