package schedule

import "fmt"

// Verdict says what becomes of a due firing in view of what already runs.
type Verdict int

// The verdicts.
const (
	// Launch it.
	Launch Verdict = iota
	// Skip it, for good.
	Skip
	// Wait until what runs has ended.
	Wait
	// Replace what runs: end it, then launch.
	Replace
)

// Unconditional says that Decide always lets f launch, whatever runs.
func (f Firing) Unconditional() bool {
	return f.MaxRunning == 0 && (f.Overlap == "" || f.Overlap == OverlapAllow)
}

// Decide applies a firing's overlap policy and concurrency limit. running
// counts the executions of its launch plan that have not ended, waiting the
// earlier firings that wait for them. The reason is for people, and set for a Skip.
func Decide(f Firing, running, waiting int) (verdict Verdict, reason string) {
	replaces := f.Overlap == OverlapCancelOther || f.Overlap == OverlapTerminateOther
	switch {
	case replaces && running > 0:
		return Replace, ""
	case f.MaxRunning > 0 && running >= int(f.MaxRunning):
		return Skip, fmt.Sprintf("concurrency policy: %d executions run, %d is the most", running, f.MaxRunning)
	case f.Overlap == OverlapSkip && running > 0:
		return Skip, "overlap is skip, and an earlier execution runs"
	case f.Overlap == OverlapBufferOne && waiting > 0:
		return Skip, "overlap is buffer-one, and an earlier slot waits already"
	case f.Overlap == OverlapBufferOne && running > 0, f.Overlap == OverlapBufferAll && running+waiting > 0:
		return Wait, ""
	default:
		return Launch, ""
	}
}
