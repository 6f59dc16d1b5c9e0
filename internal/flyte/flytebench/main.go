// Command flytebench measures tminus before a flyteadmin, which is package
// flytetest's in this process, on SQLite and on a PostgreSQL server that it starts:
// launches a second beside a bare client, bursts that are too much beside launchers
// that do not look at how fast flyteadmin answers, following launch plans, and
// lateness with a flyteadmin that is far. It prints the tables of
// docs/performance.md. What is measured runs in a process of its own, so that the
// memory and processor time are its own; medians of several runs are printed.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if job := os.Getenv(jobVariable); job != "" {
		if err := work(context.Background(), job, os.Stdout); err != nil {
			fail(err)
		}
		return
	}
	b := bench{out: os.Stdout}
	only := flag.String("only", "speed,burst,follow,lateness", "measurements, separated by commas")
	databases := flag.String("databases", "sqlite,postgres", "databases to measure, separated by commas")
	flag.IntVar(&b.runs, "runs", 5, "runs of each")
	flag.IntVar(&b.slots, "slots", 3_000, "slots of each run that measures speed")
	flag.IntVar(&b.plans, "plans", 10_000, "launch plans that are followed")
	flag.DurationVar(&b.limit, "limit", 150*time.Second, "when a burst is given up")
	flag.StringVar(&b.profiles, "profiles", "", "directory for a profile of each measurement, for go tool pprof; none if empty")
	flag.Parse()
	b.databases = strings.Split(*databases, ",")
	if err := b.run(context.Background(), strings.Split(*only, ",")); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "flytebench:", err)
	os.Exit(1)
}

// bench is what is asked for.
type bench struct {
	out          io.Writer
	databases    []string
	runs         int
	slots, plans int
	limit        time.Duration
	profiles     string
}

func (b *bench) run(ctx context.Context, only []string) error {
	for _, name := range only {
		var err error
		switch name {
		case "speed":
			err = b.speed(ctx)
		case "burst":
			err = b.burst(ctx)
		case "follow":
			err = b.follow(ctx)
		case "lateness":
			err = b.lateness(ctx)
		default:
			err = fmt.Errorf("-only: %q is none of speed, burst, follow and lateness", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// table begins one.
func (b *bench) table(title string, columns ...string) {
	fmt.Fprintf(b.out, "\n%s; medians of %d runs\n\n| %s |\n|%s\n", title, b.runs, strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
}

func (b *bench) row(cells ...string) { fmt.Fprintf(b.out, "| %s |\n", strings.Join(cells, " | ")) }

// profile is where the profile of a measurement goes; "" means nowhere.
func (b *bench) profile(name string) string {
	if b.profiles == "" {
		return ""
	}
	return filepath.Join(b.profiles, name+".pprof")
}

// median is that of what all have.
func median[T any, N cmp.Ordered](all []T, of func(T) N) N { //nolint:ireturn // N is a number.
	values := make([]N, len(all))
	for i, x := range all {
		values[i] = of(x)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// quantile is one of sorted values; 0 of none.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(share*float64(len(sorted)-1))]
}

func title(database string) string {
	if database == "sqlite" {
		return "SQLite"
	}
	return "PostgreSQL"
}

// span is a duration to three digits or so.
func span(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}

func megabytes(kb int) string { return fmt.Sprintf("%d MB", kb>>10) }
