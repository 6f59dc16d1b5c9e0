package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/manifest"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// screen is what serve shows a person: what is scheduled, then each launch and
// its result as it happens. It can be written from several goroutines, and
// never makes one wait: a terminal that is stopped must not stop launches.
type screen struct {
	mu      sync.Mutex
	texts   chan string // closed once closed is set
	closed  bool
	dropped atomic.Int64 // texts that had no room
	written chan struct{}
}

// Room on the way to the terminal, in texts, and how long the end waits for it.
const (
	screenRoom  = 1000
	screenClose = time.Second
)

func newScreen(w io.Writer) *screen {
	s := &screen{texts: make(chan string, screenRoom), written: make(chan struct{})}
	go func() {
		defer close(s.written)
		for text := range s.texts {
			fmt.Fprint(w, text)
			if n := s.dropped.Swap(0); n > 0 {
				fmt.Fprintf(w, "… %d not shown\n", n)
			}
		}
	}()
	return s
}

// close waits until all is shown, but not for a terminal that takes nothing.
// What is printed afterwards is not shown.
func (s *screen) close() {
	s.mu.Lock()
	s.closed = true
	close(s.texts)
	s.mu.Unlock()
	select {
	case <-s.written:
	case <-time.After(screenClose):
	}
}

func (s *screen) printf(format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	select {
	case s.texts <- text:
	default:
		s.dropped.Add(1)
	}
}

// printable takes out what would steer a terminal: values come from tasks.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func (s *screen) started(data string, grpc, http net.Addr, silence string) {
	s.printf("tminus %s  data %s  gRPC %s  REST http://%s\n", version(), data, grpc, http)
	if silence != "" {
		s.printf("WARNING: %s\n", silence)
	}
}

func (s *screen) applied(paths []string, report manifest.Report) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nApplied %s\n", strings.Join(paths, ", "))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range report.Results {
		switch {
		case r.Err != nil:
			fmt.Fprintf(table, "  failed\t%v\n", r.Err)
		case !r.Changed():
			fmt.Fprintf(table, "  unchanged\t%s\tversion %s\n", name(r.Project, r.Domain, r.Name), r.Version)
		default:
			fmt.Fprintf(table, "  %s\t%s\tversion %s\n", cmp.Or(r.Activation, r.Registration), name(r.Project, r.Domain, r.Name), r.Version)
		}
		for _, warning := range r.Warnings {
			fmt.Fprintf(table, "  WARNING\t%s\n", warning)
		}
	}
	table.Flush()
	s.printf("%s", b.String())
}

// scheduled shows what is. follows is the Flyte whose launch plans fire here, if there is one.
func (s *screen) scheduled(list []schedule.Schedule, now time.Time, silence, follows string) {
	var b strings.Builder
	if follows != "" {
		fmt.Fprintf(&b, "\nFollowing the launch plans of the Flyte at %s: tminus flyte status\n", follows)
	}
	if len(list) == 0 && follows == "" {
		b.WriteString("\nNothing is scheduled yet; try `tminus apply -f FILE` or `flytectl register files`.\n")
	} else if len(list) > 0 {
		b.WriteString("\nScheduled\n")
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for i, x := range list {
			if i == upcoming {
				fmt.Fprintf(table, "  … and more: tminus schedules list\n")
				break
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\n", name(x.LaunchPlan.Project, x.LaunchPlan.Domain, x.LaunchPlan.Name), x.Spec.Expression, next(x, now, silence))
		}
		table.Flush()
	}
	b.WriteString("\nLook: tminus schedules list, tminus firings list, tminus executions list|get|logs. Ctrl-C stops.\n\n")
	s.printf("%s", b.String())
}

func next(s schedule.Schedule, now time.Time, silence string) string {
	switch {
	case silence != "":
		return "never: " + silence
	case s.Problem != "":
		return "never: " + s.Problem
	case s.Paused != "":
		return "paused: " + s.Paused
	case s.Next.IsZero():
		return "never again"
	}
	if s.Next.Before(now) {
		return "due since " + s.Next.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("next %s (in %s)", s.Next.UTC().Format(time.RFC3339), s.Next.Sub(now).Round(time.Second))
}

// name leaves out the project and domain that everybody starts with.
func name(project, domain, name string) string {
	if project == "default" && domain == "development" {
		return name
	}
	return project + "/" + domain + "/" + name
}

// settled shows what became of launches.
func (s *screen) settled(fs []schedule.Firing) {
	const most = 20 // A burst is counted, not listed.
	var b strings.Builder
	for i, f := range fs {
		if i == most {
			fmt.Fprintf(&b, "%s  … %d more\n", clock(f.SettledAt), len(fs)-most)
			break
		}
		plan := name(f.LaunchPlan.Project, f.LaunchPlan.Domain, f.LaunchPlan.Name)
		slot := f.Slot.UTC().Format(time.RFC3339)
		switch f.Outcome {
		case schedule.Launched:
			fmt.Fprintf(&b, "%s  launched   %s  slot %s, %s late  %s\n", clock(f.SettledAt), plan, slot, round(f.Lateness()), f.Execution())
		case schedule.Pending:
			if f.Attempts > 0 && !schedule.Waits(f) {
				fmt.Fprintf(&b, "%s  failed     %s  slot %s, attempt %d: %s; again at %s\n", clock(time.Now()), plan, slot, f.Attempts, f.Reason, clock(f.AttemptAt))
			}
		case schedule.Skipped, schedule.Missed, schedule.Dead:
			fmt.Fprintf(&b, "%s  %-9s  %s  slot %s: %s\n", clock(f.SettledAt), f.Outcome, plan, slot, f.Reason)
		}
	}
	s.printf("%s", b.String())
}

// finished shows the result of an execution.
func (s *screen) finished(x store.Execution) {
	plan := name(x.LaunchPlan.Project, x.LaunchPlan.Domain, x.LaunchPlan.Name)
	took := round(x.EndedAt.Sub(x.StartedAt))
	if x.StartedAt.IsZero() {
		took = 0
	}
	result := outputs(x.Outputs)
	if x.Phase != store.Succeeded {
		result = cmp.Or(x.AbortCause, failure(x.Error))
	}
	s.printf("%s  %-9s  %s  %s  in %s  %s\n", clock(x.EndedAt), strings.ToLower(string(x.Phase)), plan, x.Name, took, result)
}

func (s *screen) stopping(drain time.Duration) {
	s.printf("\nStopping: running tasks have %s to end. Ctrl-C again ends at once.\n", drain)
}

func (s *screen) stopped() {
	s.printf("Stopped. Start it again with the same data directory and it carries on.\n")
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func round(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// outputs shows a serialized LiteralMap as name=value, in the order of the names.
func outputs(serialized []byte) string {
	var m core.LiteralMap
	if err := proto.Unmarshal(serialized, &m); err != nil {
		return "outputs cannot be read: " + err.Error()
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m.GetLiterals())) {
		fmt.Fprintf(&b, "%s=%s ", k, brief(literal.Text(m.GetLiterals()[k])))
	}
	return strings.TrimSpace(b.String())
}

// brief is the beginning of a value, on one line; `tminus executions get` shows all of it.
func brief(value string) string {
	const most = 60
	first, rest, _ := strings.Cut(strings.TrimSpace(value), "\n")
	short := first
	if len(first) > most {
		short = first[:most]
	}
	if short = strings.ToValidUTF8(strings.TrimSpace(short), ""); len(first) > most || rest != "" {
		short += "…"
	}
	return short
}

// failure is a serialized ExecutionError in one line.
func failure(serialized []byte) string {
	var e core.ExecutionError
	if err := proto.Unmarshal(serialized, &e); err != nil {
		return "error cannot be read: " + err.Error()
	}
	return runner.Gist(e.GetMessage())
}
