package cli_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const examples = "../../examples"

// outputs waits for an execution to end and returns its outputs. Numbers come
// as protojson has them: integers as text, floats as numbers.
func (w *world) outputs(t *testing.T, name string) map[string]any {
	t.Helper()
	w.must(t, "executions", "logs", name, "--follow")
	var got struct {
		Execution struct {
			Closure struct{ Phase string }
		}
		Data struct {
			FullOutputs struct {
				Literals map[string]struct {
					Scalar struct{ Primitive map[string]any }
				}
			}
		}
	}
	text := w.must(t, "executions", "get", name, "-o", "json")
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Execution.Closure.Phase != "SUCCEEDED" {
		t.Fatalf("phase %s\n%s", got.Execution.Closure.Phase, w.must(t, "executions", "get", name))
	}
	outputs := map[string]any{}
	for name, l := range got.Data.FullOutputs.Literals {
		for _, v := range l.Scalar.Primitive {
			outputs[name] = v
		}
	}
	return outputs
}

// lines are the lines of an example's file.
func lines(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(examples, "data", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	for s := bufio.NewScanner(f); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}

// The examples do what they say, whenever they are kicked off: what their
// scripts make of the data is worked out here another way.
func TestExamplesComputeWhatTheySay(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", examples)
	var names, plans []string
	var kickoffs []time.Time
	for _, at := range []string{"2026-03-16T00:05:00Z", "2026-03-17T08:30:59Z", "2026-03-18T23:59:00Z", "2026-03-22T13:00:00Z"} {
		kickoff, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, plan := range []string{"cold-store-watch", "traffic-report", "orders-daily", "orders-weekly"} {
			names = append(names, strings.TrimSpace(w.must(t, "executions", "create", plan, "--input", "kickoff_time="+at)))
			plans, kickoffs = append(plans, plan), append(kickoffs, kickoff)
		}
	}
	for i, name := range names {
		var want map[string]any
		switch plans[i] {
		case "cold-store-watch":
			want = coldStore(t, kickoffs[i])
		case "traffic-report":
			want = traffic(t, kickoffs[i])
		default:
			want = orders(t, kickoffs[i], plans[i] == "orders-weekly")
		}
		got := w.outputs(t, name)
		if logged := w.must(t, "executions", "logs", name); plans[i] == "traffic-report" && !strings.Contains(logged, " requests of ") {
			t.Errorf("%s logged %q, not what it found", plans[i], logged)
		}
		for output, value := range want {
			if diff := cmp.Diff(value, got[output]); diff != "" {
				t.Errorf("%s at %s: %s (-want +got):\n%s", plans[i], kickoffs[i].Format(time.RFC3339), output, diff)
			}
		}
	}
}

func coldStore(t *testing.T, kickoff time.Time) map[string]any {
	t.Helper()
	to := kickoff.Hour()*60 + kickoff.Minute()
	warmest := map[string]float64{}
	for _, row := range lines(t, "cold-store.csv")[1:] {
		fields := strings.Split(row, ",")
		at, err := time.Parse("15:04", fields[0])
		if err != nil {
			t.Fatal(err)
		}
		ago := ((to-at.Hour()*60-at.Minute())%1440 + 1440) % 1440
		if ago >= 30 {
			continue
		}
		if _, ok := warmest[fields[1]]; !ok {
			warmest[fields[1]] = math.Inf(-1)
		}
		warmest[fields[1]] = max(warmest[fields[1]], number(t, fields[2]))
	}
	alarms := 0
	for _, celsius := range warmest {
		if celsius > 8 {
			alarms++
		}
	}
	if len(warmest) != 4 {
		t.Errorf("the half hour before %s has readings of %d sensors, want 4", kickoff, len(warmest))
	}
	return map[string]any{"alarms": strconv.Itoa(alarms)}
}

func traffic(t *testing.T, kickoff time.Time) map[string]any {
	t.Helper()
	requests, failed := 0, 0
	for _, l := range lines(t, "access.log") {
		if !strings.Contains(l, fmt.Sprintf("/2026:%02d:", kickoff.Hour())) {
			continue
		}
		requests++
		if strings.Contains(l, `HTTP/1.1" 5`) {
			failed++
		}
	}
	if requests == 0 {
		t.Errorf("the hour of %s has no requests", kickoff)
	}
	percent := number(t, fmt.Sprintf("%.1f", 100*float64(failed)/float64(requests)))
	return map[string]any{"requests": strconv.Itoa(requests), "failed_percent": percent}
}

func orders(t *testing.T, kickoff time.Time, week bool) map[string]any {
	t.Helper()
	records := func(file string) [][]string {
		all, err := csv.NewReader(strings.NewReader(strings.Join(lines(t, file), "\n"))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return all[1:]
	}
	price := map[string]float64{}
	for _, p := range records("prices.csv") {
		price[p[0]] = number(t, p[1])
	}
	day := kickoff.AddDate(0, 0, -1)
	for day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
		day = day.AddDate(0, 0, -1)
	}
	count, euro := 0, 0.0
	for _, o := range records("orders.csv") {
		if week || o[1] == strings.ToUpper(day.Weekday().String()[:3]) {
			count++
			euro += math.Round(price[o[3]]*number(t, o[4])*100) / 100
		}
	}
	return map[string]any{"orders": strconv.Itoa(count), "euro": math.Round(euro*100) / 100}
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Within a minute of the start, something has been launched by its schedule and has succeeded.
func TestExamplesFireWithinAMinute(t *testing.T) {
	w := newWorld(t)
	w.must(t, "apply", "-f", examples)
	w.fire(t, time.Now().Add(time.Minute))
	var list struct {
		Firings []struct{ Execution, Outcome, Slot string }
	}
	if err := json.Unmarshal([]byte(w.must(t, "firings", "list", "cold-store-watch", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Firings) == 0 {
		t.Fatal("nothing fired")
	}
	for _, f := range list.Firings {
		if f.Outcome != "OUTCOME_LAUNCHED" {
			t.Errorf("%s is %s", f.Slot, f.Outcome)
		}
		if report := fmt.Sprint(w.outputs(t, f.Execution)["report"]); strings.Count(report, "readings") != 4 {
			t.Errorf("report of %s:\n%s", f.Slot, report)
		}
	}
}
