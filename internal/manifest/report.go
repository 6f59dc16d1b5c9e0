package manifest

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

// A Change is what became of something, or would become of it in a dry run.
type Change string

// The changes.
const (
	Created     Change = "created"
	Unchanged   Change = "unchanged"
	Activated   Change = "activated"
	Deactivated Change = "deactivated"
	Updated     Change = "updated"
)

// A Report says what Apply did, in the order of the manifests.
type Report struct {
	// DryRun says that nothing was done.
	DryRun  bool     `json:"dryRun"`
	Results []Result `json:"results"`
}

// Failed counts the results with an error.
func (r Report) Failed() int {
	failed := 0
	for _, result := range r.Results {
		if result.Err != nil {
			failed++
		}
	}
	return failed
}

// A Result is what became of one launch plan, of a document without one, or of
// a manifest that could not be read.
type Result struct {
	Position
	// Entity is the launch plan or, without one, the workflow; its Name is
	// empty when the manifest did not get as far as naming it.
	Entity
	// Others are the tasks and the workflow that were registered with it.
	Others []Entity `json:"others,omitempty"`
	// Activation is Activated, Deactivated or, when the launch plan was and
	// stays in the state that is asked for, Unchanged. It is empty for what is
	// not activated at all.
	Activation Change `json:"activation,omitempty"`
	// Active says that the version is the active one afterwards.
	Active bool `json:"active"`
	// Was is another version that was active before. It still is, unless
	// Activation is Activated.
	Was string `json:"was,omitempty"`
	// Description is Updated or Unchanged; empty when the manifest has none.
	Description Change `json:"description,omitempty"`
	// Warnings are what the server said beside its answers.
	Warnings []string `json:"warnings,omitempty"`
	// Next are the next slots of an active launch plan.
	Next []time.Time `json:"next,omitempty"`
	// Diff is what its schedule would change from and to, if that was asked for; in
	// JSON it is under "diff".
	Diff *tminusv1.DiffScheduleResponse `json:"-"`
	// Err says why it failed: a ProblemsError, a *StatusError or a plain error. In
	// JSON it is the text, under "error".
	Err error `json:"-"`
}

// MarshalJSON adds Err's text, and Diff as the API has it.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result // Without this method.
	var text string
	if r.Err != nil {
		text = r.Err.Error()
	}
	var diff json.RawMessage
	var err error
	if r.Diff != nil {
		if diff, err = protojson.Marshal(r.Diff); err != nil {
			return nil, fmt.Errorf("write result: %w", err)
		}
	}
	b, err := json.Marshal(struct {
		plain
		Diff  json.RawMessage `json:"diff,omitempty"`
		Error string          `json:"error,omitempty"`
	}{plain(r), diff, text})
	if err != nil {
		return nil, fmt.Errorf("write result: %w", err)
	}
	return b, nil
}

// An Entity is something registered.
type Entity struct {
	// Kind is "launch plan", "workflow" or "task".
	Kind    string `json:"kind,omitempty"`
	Project string `json:"project,omitempty"`
	Domain  string `json:"domain,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	// Registration is Created or Unchanged; empty when it failed.
	Registration Change `json:"registration,omitempty"`
}

// Changed says that anything changed, or would.
func (r Result) Changed() bool {
	changed := r.Registration == Created || r.Activation == Activated || r.Activation == Deactivated || r.Description == Updated
	for _, e := range r.Others {
		changed = changed || e.Registration == Created
	}
	return changed
}
