package cron_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tminus.dev/cron"
)

const (
	stepZero     = "a step of 0 is refused"
	longStep     = "a step beyond the field is the start alone"
	wInL         = "W does not go with L-n"
	emptyItem    = "an empty item of a list is refused"
	shortPeriod  = "a period below a minute is refused"
	noUpperBound = "the upper bound is that project's: AWS's documents have none"
)

// vectorSources has the files of testdata/vectors, how many cases each holds, so that none gets lost, and what this package does
// otherwise, and why. An exception is for all lines that hold its text, and must go once any of their cases agrees.
var vectorSources = map[string]struct {
	cases      int
	exceptions map[string]string
}{
	"cfn_lint": {18, nil},
	"cronplan": {839, map[string]string{
		`"* * 1/0 * ? *"`:         stepZero,
		`"* * ? * 2/0 *"`:         stepZero,
		`"* * ? * MON/0 *"`:       stepZero,
		`"* 1/0 * * ? *"`:         stepZero,
		`"* 1-10/0 * * ? *"`:      stepZero,
		`"1-2/0 * * * ? *"`:       stepZero,
		`"* * * 1-2/0 ? *"`:       stepZero,
		`"* * * JAN-FEB/0 ? *"`:   stepZero,
		`"* * * * ? 2024-2190/0"`: stepZero,
		`"* * * * ? 2198-1971"`:   "a range of years does not wrap",
		`"* * ? * *,1,1-7,1/5,*/5,L,5L,MONL,SUN,SUN-SAT *"`: "L stands alone in day-of-week",
		`"*/5 * * * ? *" never`:                             "it was asked for the next 0 slots",
	}},
	"haskell_aws_eventbridge_cron": {26, map[string]string{
		`"rate(40000000 minutes)"`: noUpperBound,
		`"rate(9000 hours)"`:       noUpperBound,
		`"rate(400 days)"`:         noUpperBound,
	}},
	"localstack_aws_validated": {64, nil}, // what AWS itself did: exceptions are bugs
	"pyawscron":                {15, nil},
	"quartz": {105, map[string]string{
		`"15 10 L-5W * ? 2010"`:     wInL,
		`"15 10 L-1W * ? 2010"`:     wInL,
		`"15 10 L-1W,L-1 * ? 2010"`: wInL,
		`"0/120 0 8-18 ? * 2-6"`:    longStep,
		`"0 0/120 8-18 ? * 2-6"`:    longStep,
		`"0 0 0/120 ? * 2-6"`:       longStep,
	}},
	"robfig_cron": {156, map[string]string{
		`"15/35 20-35/15 `: "there are no seconds: the slot is at the full minute",
	}},
	"robfig_quirks": {50, map[string]string{
		`"0 0 1,,5 * *"`: emptyItem,
		`", 0 * * *"`:    emptyItem,
		`"@every 500ms"`: shortPeriod,
		`"@every 1.5s"`:  shortPeriod,
		`"@every -1h"`:   shortPeriod,
		`"@every 0s"`:    shortPeriod,
	}},
}

// vectorParsers has how the expressions of each dialect are read.
var vectorParsers = map[string]func(string) (cron.Schedule, error){
	"aws":    cron.ParseAWS,
	"rate":   cron.ParseRate,
	"unix":   cron.ParseUnix,
	"robfig": func(expr string) (cron.Schedule, error) { return parseSeconds(expr, cron.ParseUnix) },     // six fields
	"quartz": func(expr string) (cron.Schedule, error) { return parseSeconds(expr+" *", cron.ParseAWS) }, // six fields: no year
}

// parseSeconds parses an expression that has seconds in front. This package has none, but they are written as minutes are:
// so they are checked in the place of the minutes, and then left out.
func parseSeconds(expr string, parse func(string) (cron.Schedule, error)) (cron.Schedule, error) {
	fields := strings.Fields(expr)
	seconds := 0
	if strings.Contains(fields[0], "TZ=") {
		seconds = 1
	}
	without := func(i int) string { return strings.Join(slices.Delete(slices.Clone(fields), i, i+1), " ") }
	if s, err := parse(without(seconds + 1)); err != nil {
		return s, err
	}
	return parse(without(seconds))
}

// TestVectors compares this package with what AWS and other projects make of expressions.
//
// These are the lines of testdata/vectors. Expressions are in Go syntax, and slots in UTC:
//
//	accept DIALECT EXPR                       it is well-formed
//	refuse DIALECT EXPR                       it is not
//	match DIALECT EXPR TIME…                  these are its slots, each a case of its own
//	miss DIALECT EXPR TIME…                   these are not, each a case of its own
//	next DIALECT ZONE FROM EXPR SLOT…         its first slots after FROM, or never
//	prev DIALECT ZONE FROM EXPR SLOT…         its last slots before FROM, from the last on
//	observed DIALECT ZONE FROM EXPR SLOT…     as next, but the year of the slots is not known
//
// DIALECT is a key of vectorParsers; ZONE is a name, an offset, or - if the expression names a zone itself.
func TestVectors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(files) != len(vectorSources) {
		t.Fatalf("found %q (%v), want %d files", files, err, len(vectorSources))
	}
	for _, file := range files {
		source := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, cases := vectorSources[source], 0
			unused := maps.Clone(want.exceptions)
			for line := range strings.Lines(string(text)) {
				line = strings.TrimSpace(line)
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				reason := ""
				for part, why := range want.exceptions {
					if strings.Contains(line, part) {
						reason = why
						delete(unused, part)
					}
				}
				for _, diff := range checkVector(t, line) {
					cases++
					switch {
					case diff != "" && reason == "":
						t.Errorf("%s\n\t%s", line, diff)
					case diff == "" && reason != "":
						t.Errorf("%s\n\tagrees, but is an exception: %s", line, reason)
					}
				}
			}
			if cases != want.cases {
				t.Errorf("there are %d cases, want %d", cases, want.cases)
			}
			for part, reason := range unused {
				t.Errorf("no line has %s, an exception: %s", part, reason)
			}
		})
	}
}

// checkVector returns for each case of a line how this package differs from it, or "".
func checkVector(t *testing.T, line string) []string {
	t.Helper()
	before, _, _ := strings.Cut(line, `"`)
	quoted, err := strconv.QuotedPrefix(line[len(before):])
	if err != nil {
		t.Fatalf("%s: no expression", line)
	}
	expr, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	head, want := strings.Fields(before), strings.Fields(line[len(before)+len(quoted):])
	if len(head) < 2 || vectorParsers[head[1]] == nil {
		t.Fatalf("%s: no such dialect", line)
	}
	verb := head[0]
	s, refused := vectorParsers[head[1]](expr)
	switch verb {
	case "accept", "refuse":
		if (refused == nil) != (verb == "accept") {
			return []string{fmt.Sprintf("parsed as %q (%v)", s, refused)}
		}
		return []string{""}
	case "match", "miss":
		diffs := make([]string, len(want))
		for i, text := range want {
			if refused != nil {
				diffs[i] = refused.Error()
			} else if s.Match(at(t, text)) != (verb == "match") {
				diffs[i] = text
			}
		}
		return diffs
	case "next", "prev", "observed":
		if refused != nil {
			return []string{refused.Error()}
		}
		if len(head) != 4 {
			t.Fatalf("%s: no zone and time", line)
		}
		if zone := head[2]; zone != "-" {
			s = s.In(vectorZone(t, zone))
		}
		from := at(t, head[3])
		s = s.WithAnchor(from) // from where robfig/cron counts @every
		step, layout := s.Next, time.RFC3339
		switch verb {
		case "prev":
			step = s.Prev
		case "observed":
			layout = "01-02T15:04:05"
		}
		got := take(func(slot time.Time) time.Time { return step(slot).UTC() }, from, len(want), layout)
		if !slices.Equal(got, want) || len(want) == 0 {
			return []string{fmt.Sprintf("the slots are %q", got)}
		}
		return []string{""}
	}
	t.Fatalf("%s: no such verb", line)
	return nil
}

// vectorZone returns the zone with a name, or with an offset like +05:30.
func vectorZone(t *testing.T, name string) *time.Location {
	t.Helper()
	if offset, err := time.Parse("-07:00", name); err == nil {
		return offset.Location()
	}
	return location(t, name)
}
