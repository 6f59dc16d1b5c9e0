// Command worst searches for the expressions whose Next takes the longest: it begins at random and climbs, by changing
// one thing after another and keeping what made it slower. It does so for schedules of all kinds, and for those that are known
// to have no slot once they are parsed.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"tminus.dev/cron"
)

func main() {
	span := flag.Duration("for", time.Minute, "how long to search, for each of the two tables")
	seed := flag.Uint64("seed", 1, "where the random numbers begin; timing makes no two searches the same, though")
	flag.Parse()
	if err := run(*span, *seed, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "worst:", err)
		os.Exit(1)
	}
}

func run(span time.Duration, seed uint64, w io.Writer) error {
	s := search{random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // Nothing is secret here.
	for _, name := range zones {
		loc, err := time.LoadLocation(name)
		if err != nil {
			return err
		}
		s.locations = append(s.locations, loc)
	}
	fmt.Fprintln(w, "The slowest of all:")
	printTable(w, s.run(span))
	s.never = true
	fmt.Fprintln(w, "\nThe slowest of those that are known never to fire:")
	printTable(w, s.run(span))
	return nil
}

// zones are of each kind: without changes of clocks, with two a year, with four (Casablanca, around Ramadan), by half an hour (Lord Howe) or
// two (Troll), with winter time that is set back from the standard (Dublin), with a day left out (Apia), at midnight and before
// it (Scoresbysund, Beirut), and with many changes that have ended (Tehran, Sao Paulo).
var zones = []string{
	"UTC", "Asia/Kolkata", "America/New_York", "Europe/Berlin", "Europe/Dublin", "Africa/Casablanca", "Australia/Lord_Howe",
	"Antarctica/Troll", "Pacific/Apia", "America/Scoresbysund", "Asia/Beirut", "Asia/Tehran", "America/Sao_Paulo", "Africa/Cairo",
	"Pacific/Chatham", "America/Santiago", "Asia/Gaza", "Pacific/Kwajalein",
}

type search struct {
	random    *rand.Rand
	locations []*time.Location
	never     bool // ask for schedules that are known to have no slot
}

// A found candidate, and what a Next of it takes.
type found struct {
	candidate
	schedule cron.Schedule
	ns       float64
}

const (
	randomTries = 200  // how many random candidates a climb picks its start from
	patience    = 3000 // how many changes in a row may fail before a climb ends
	shown       = 10
)

// run climbs again and again, and returns the best of the climbs.
func (s *search) run(span time.Duration) []found {
	var tops []found
	for end := time.Now().Add(span); time.Now().Before(end); {
		// Every other climb goes on from what an earlier one found.
		var top found
		if len(tops) > 0 && s.random.IntN(2) == 0 {
			top = tops[s.random.IntN(min(len(tops), shown))]
		} else {
			for range randomTries {
				if f, ok := s.measured(s.candidate(), brief); ok && f.ns > top.ns {
					top = f
				}
			}
		}
		if top.ns == 0 {
			continue
		}
		top.ns = measure(top.schedule, top.start, thorough)
		for failed := 0; failed < patience && time.Now().Before(end); failed++ {
			c := top.candidate
			for range 1 + s.random.IntN(2) {
				c = s.changed(c, top.schedule)
			}
			// What seems slower after a brief look may have been disturbed.
			f, ok := s.measured(c, brief)
			if !ok || f.ns <= top.ns {
				continue
			}
			if f.ns = measure(f.schedule, f.start, thorough); f.ns > top.ns {
				top, failed = f, 0
			}
		}
		tops = ranked(append(tops, top))
	}
	for i := range tops {
		tops[i].ns = measure(tops[i].schedule, tops[i].start, final)
	}
	return ranked(tops)
}

// ranked returns the slowest first, each expression once, and not more than are worth keeping.
func ranked(tops []found) []found {
	slices.SortStableFunc(tops, func(a, b found) int { return cmp.Compare(b.ns, a.ns) })
	seen := map[string]bool{}
	tops = slices.DeleteFunc(tops, func(f found) bool {
		again := seen[f.expr()]
		seen[f.expr()] = true
		return again
	})
	return tops[:min(len(tops), 2*shown)]
}

// measured returns a candidate with its time, unless it is no expression, or not of the kind that is searched for.
func (s *search) measured(c candidate, batches int) (found, bool) {
	schedule, err := cron.Parse(c.expr())
	if err != nil || s.never && !schedule.Never() {
		return found{}, false
	}
	schedule = schedule.In(s.locations[c.zone]).WithGap(c.gap).WithRepeat(c.repeat)
	return found{candidate: c, schedule: schedule, ns: measure(schedule, c.start, batches)}, true
}

// How many batches are measured for a first look, for a decision, and for the table.
const (
	brief    = 3
	thorough = 100
	final    = 5000
	batch    = 16
)

// measure returns the nanoseconds of a Next. The fastest batch counts: what is slower was disturbed by others on the machine.
func measure(s cron.Schedule, start int64, batches int) float64 {
	t, best := time.Unix(start, 0).UTC(), time.Duration(math.MaxInt64)
	for range batches {
		began := time.Now()
		for range batch {
			s.Next(t)
		}
		best = min(best, time.Since(began))
	}
	return float64(best.Nanoseconds()) / batch
}

func printTable(w io.Writer, tops []found) {
	fmt.Fprintln(w, "| ns | expression | zone | gap | repeat | start | Next |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- |")
	for _, f := range tops[:min(len(tops), shown)] {
		next := "never"
		if t := f.schedule.Next(time.Unix(f.start, 0)); !t.IsZero() {
			next = t.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "| %.0f | %s | %s | %s | %s | %s | %s |\n", f.ns, f.expr(), zones[f.zone], gapNames[f.gap], repeatNames[f.repeat],
			time.Unix(f.start, 0).UTC().Format(time.RFC3339), next)
	}
}

var (
	gapNames    = []string{cron.GapDefault: "default", cron.GapSkip: "skip", cron.GapNext: "next"}
	repeatNames = []string{
		cron.RepeatDefault: "default", cron.RepeatFirst: "first", cron.RepeatSecond: "second", cron.RepeatBoth: "both",
	}
)
