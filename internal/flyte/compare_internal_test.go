package flyte

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/ident"
)

func TestCompareSlots(t *testing.T) {
	slot := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	later := slot.Add(time.Hour)
	berlin := time.FixedZone("", 3600)
	v1, v2 := Fire{Slot: slot, Version: "v1", Execution: "f1"}, Fire{Slot: slot, Version: "v2", Execution: "f2"}
	missed := Fire{Slot: slot, Version: "v1", Note: "missed: tminus was down"}
	open := Fire{Slot: slot, Version: "v1", Execution: "f1", Open: true}
	for _, tc := range []struct {
		name        string
		here, there []Fire
		unknown     string
		want        []SlotComparison
	}{
		{"nothing", nil, nil, "", nil},
		{"both, under one name", []Fire{v1}, []Fire{v1}, "", []SlotComparison{{slot, Same, "v1 f1", "v1 f1"}}},
		{"both, in other zones", []Fire{{Slot: slot.In(berlin), Version: "v1", Execution: "f1"}}, []Fire{v1}, "", []SlotComparison{{slot, Same, "v1 f1", "v1 f1"}}},
		{"here", []Fire{v1}, nil, "", []SlotComparison{{slot, OnlyHere, "v1 f1", ""}}},
		{"there", nil, []Fire{v1}, "", []SlotComparison{{slot, OnlyThere, "", "v1 f1"}}},
		{"there, missed here", []Fire{missed}, []Fire{v1}, "", []SlotComparison{{slot, OnlyThere, "v1 missed: tminus was down", "v1 f1"}}},
		{"missed here, and not there", []Fire{missed}, nil, "", nil},
		{"another version", []Fire{v1}, []Fire{v2}, "", []SlotComparison{{slot, Differs, "v1 f1", "v2 f2"}}},
		{"two executions there", []Fire{v1}, []Fire{v2, v1}, "", []SlotComparison{{slot, Doubled, "v1 f1", "v1 f1, v2 f2"}}},
		{"two executions there, none here", nil, []Fire{v2, v1}, "", []SlotComparison{{slot, Doubled, "", "v1 f1, v2 f2"}}},
		{"pending here, and not there", []Fire{open}, nil, "", nil},
		{"pending here, launched there", []Fire{open}, []Fire{v1}, "", []SlotComparison{{slot, Same, "v1 f1", "v1 f1"}}},
		{"nobody knows", []Fire{v1}, nil, "no phase", []SlotComparison{{slot, Uncertain, "v1 f1", "unknown"}}},
		{"by time", []Fire{{Slot: later, Execution: "f3"}, v1}, nil, "", []SlotComparison{{slot, OnlyHere, "v1 f1", ""}, {later, OnlyHere, "f3", ""}}},
	} {
		got := compareSlots(Side{Fires: tc.here}, Side{Fires: tc.there, Unknown: tc.unknown})
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestCompareSumsUp(t *testing.T) {
	slot := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	var here Side
	for i := range 1000 {
		here.Fires = append(here.Fires, Fire{Slot: slot.Add(time.Duration(i) * time.Minute), Execution: "f"})
	}
	same := Pair{Here: here, There: here}
	got := compare(map[ident.Key]Pair{
		{Project: "p", Domain: "d", Name: "b"}:    {Here: here, Why: []string{"it is inactive there"}},
		{Project: "p", Domain: "d", Name: "same"}: same,
		{Project: "p", Domain: "d", Name: "a"}:    {There: Side{Unknown: "it counts from nobody knows when"}},
	}, slot, slot.Add(24*time.Hour), 2)
	want := Comparison{
		From: slot, Until: slot.Add(24 * time.Hour), LaunchPlans: 3, Slots: map[Verdict]int{Same: 1000, OnlyHere: 1000},
		Differences: []PlanComparison{
			{LaunchPlan: "p/d/a", Slots: map[Verdict]int{}, Why: []string{"it counts from nobody knows when"}, First: []SlotComparison{}},
			{LaunchPlan: "p/d/b", Slots: map[Verdict]int{OnlyHere: 1000}, Why: []string{"it is inactive there"}, First: []SlotComparison{
				{slot, OnlyHere, "f", ""}, {slot.Add(time.Minute), OnlyHere, "f", ""},
			}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNative(t *testing.T) {
	cronSchedule := func(expression string) *admin.Schedule {
		return &admin.Schedule{ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: expression}}}
	}
	rate := func(value uint32, unit admin.FixedRateUnit) *admin.Schedule {
		return &admin.Schedule{ScheduleExpression: &admin.Schedule_Rate{Rate: &admin.FixedRate{Value: value, Unit: unit}}}
	}
	anchor := time.Date(2026, 1, 31, 8, 59, 0, 0, time.UTC) // A Saturday.
	for _, tc := range []struct {
		name     string
		schedule *admin.Schedule
		want     string // the first slots after the anchor, or the error
	}{
		{"five fields", cronSchedule("*/30 9 * * *"), "31 09:00, 31 09:30, 01 09:00"},
		{"a day of the month or of the week", cronSchedule("0 9 1 * MON"), "01 09:00, 02 09:00, 09 09:00"},
		{"an alias", cronSchedule("@daily"), "01 00:00, 02 00:00, 03 00:00"},
		{"a zone", cronSchedule("CRON_TZ=Europe/Berlin 0 9 * * *"), "01 08:00, 02 08:00, 03 08:00"},
		{"the older field", &admin.Schedule{ScheduleExpression: &admin.Schedule_CronExpression{CronExpression: "0 9 * * *"}}, "31 09:00, 01 09:00, 02 09:00"},
		{"@every", cronSchedule("@every 90m"), "31 10:29, 31 11:59, 31 13:29"},
		{"minutes", rate(5, admin.FixedRateUnit_MINUTE), "31 09:04, 31 09:09, 31 09:14"},
		{"hours", rate(2, admin.FixedRateUnit_HOUR), "31 10:59, 31 12:59, 31 14:59"},
		{"days", rate(1, admin.FixedRateUnit_DAY), "01 08:59, 02 08:59, 03 08:59"},
		{"no rate at all", rate(0, admin.FixedRateUnit_DAY), "at least 1m"},
		{"a unit of a later Flyte", rate(1, 9), "unit 9 is unknown"},
		{"AWS", cronSchedule("0 9 * * ? *"), "AWS cron"},
		{"AWS in its own field", &admin.Schedule{ScheduleExpression: &admin.Schedule_CronExpression{CronExpression: "0 9 * * ? *"}}, "AWS cron"},
		{"flytekit's alias", cronSchedule("hourly"), "bare name"},
		{"nothing", &admin.Schedule{}, "no schedule"},
		{"an empty one", cronSchedule(""), "no schedule"},
	} {
		got := ""
		s, err := native(tc.schedule)
		if err != nil {
			got = err.Error()
		} else {
			var slots []string
			for slot := range s.WithAnchor(anchor).Between(anchor, anchor.AddDate(0, 0, 10)) {
				if slots = append(slots, slot.UTC().Format("02 15:04")); len(slots) == 3 {
					break
				}
			}
			got = strings.Join(slots, ", ")
		}
		if err == nil && got != tc.want || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
