package cron_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tminus.dev/cron"
)

func TestText(t *testing.T) {
	t.Parallel()
	tokyo := location(t, "Asia/Tokyo")
	daily, aws, rate := mustParse(t, "@daily"), mustParse(t, "cron(0 9 * * ? *)"), mustParse(t, "rate(5 minutes)")
	for _, test := range []struct {
		s    cron.Schedule
		want string // or, after !, a part of the error
	}{
		{cron.Schedule{}, ""},
		{daily, "0 0 * * *"},
		{daily.In(tokyo), "CRON_TZ=Asia/Tokyo 0 0 * * *"},
		{daily.In(time.FixedZone("UTC", 0)), "0 0 * * *"},
		{aws, "cron(0 9 * * ? *)"},
		{rate, "rate(5 minutes)"},
		{mustParse(t, "@every 90s").In(tokyo), "CRON_TZ=Asia/Tokyo @every 1m30s"},
		{mustParse(t, "at(2026-01-31T09:00:37)"), "at(2026-01-31T09:00:37)"},
		{daily.Except(aws), "!combination"},
		{cron.Union(daily), "!combination"},
		{rate.WithAnchor(time.Unix(60, 0)), "!anchor"},
		{daily.In(tokyo).WithGap(cron.GapNext), "!rule for gaps"},
		{daily.In(tokyo).WithRepeat(cron.RepeatFirst), "!rule for repeats"},
		{aws.In(tokyo), "!zone Asia/Tokyo"},
		{rate.In(tokyo), "!zone Asia/Tokyo"},
		{daily.In(time.FixedZone("CET", 3600)), "!zone CET"},
		{daily.In(time.FixedZone("Local", 3600)), "!zone Local"},
		{cron.Schedule{}.In(tokyo), "!zone Asia/Tokyo"},
	} {
		text, err := test.s.MarshalText()
		if reason, refused := strings.CutPrefix(test.want, "!"); refused {
			if err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %q, error %v; want one about the %s", test.s, text, err, reason)
			}
			continue
		}
		if err != nil || string(text) != test.want {
			t.Errorf("%s: %q, error %v; want %q", test.s, text, err, test.want)
		}
		var again cron.Schedule
		if err := again.UnmarshalText(text); err != nil || !again.Equal(test.s) {
			t.Errorf("%q is read as %s, error %v", text, again, err)
		}
	}
}

// TestTextIsAllOrAnError checks that a text, if there is one, makes an equal schedule, whatever its zone and rules.
func TestTextIsAllOrAnError(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		s := d.schedule(rapid.SampledFrom(zones).Draw(t, "zone"), int64(d.n(0, 2e9)))
		text, err := s.MarshalText()
		if err != nil {
			return
		}
		var again cron.Schedule
		if err := again.UnmarshalText(text); err != nil || !again.Equal(s) {
			t.Fatalf("%q is read as %s, error %v", text, again, err)
		}
	})
}

func TestTextInJSON(t *testing.T) {
	t.Parallel()
	var job struct{ When cron.Schedule }
	if err := json.Unmarshal([]byte(`{"When": "CRON_TZ=Asia/Tokyo @daily"}`), &job); err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(job); err != nil || string(text) != `{"When":"CRON_TZ=Asia/Tokyo 0 0 * * *"}` {
		t.Errorf("%s, error %v", text, err)
	}
	before := job.When
	err := json.Unmarshal([]byte(`{"When": "0 25 * * *"}`), &job)
	if _, ok := errors.AsType[*cron.SyntaxError](err); !ok || !job.When.Equal(before) {
		t.Errorf("hour 25 makes %s, error %v", job.When, err)
	}
}

func TestMustParsePanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if _, ok := recover().(*cron.SyntaxError); !ok {
			t.Error("a mistake does not panic with its error")
		}
	}()
	if s := cron.MustParse("@daily"); s.String() != "0 0 * * *" {
		t.Errorf("@daily is %s", s)
	}
	cron.MustParse("0 25 * * *")
}
