package cron_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"tminus.dev/cron"
)

func BenchmarkParse(b *testing.B) {
	for _, expr := range []string{
		"cron(0 10 * * ? *)", "cron(0/15 8-17 ? JAN-MAR MON-FRI 2026-2030)", "rate(5 minutes)", "0 9 * * MON-FRI", "@daily",
		"CRON_TZ=Europe/Berlin 0 9 * * *", "at(2026-01-31T09:00:00)", "0 10 15W * ? *",
	} {
		b.Run(expr, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := cron.Parse(expr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var benchExprs = []string{
	"* * * * *", "0 10 * * *", "*/5 9-17 * * MON-FRI", "0 0 29 2 *", "0 10 L * ? *", "0 10 ? * 6#3 *", "15 10 ? * 6L 2020-2045", "0 10 15W * ? *",
	"rate(5 minutes)", "0 0 30 2 *",
}

// starts are random, as processors learn the way from slot to slot.
func starts() []time.Time {
	random := rand.New(rand.NewPCG(1, 2))
	starts := make([]time.Time, 4096)
	for i := range starts {
		starts[i] = time.Unix(1577836800+random.Int64N(20*365*86400), 0) // from 2020 on
	}
	return starts
}

func BenchmarkNext(b *testing.B) {
	benchmarkFrom(b, func(s cron.Schedule, t time.Time) { s.Next(t) })
}

func BenchmarkPrev(b *testing.B) {
	benchmarkFrom(b, func(s cron.Schedule, t time.Time) { s.Prev(t) })
}

func BenchmarkMatch(b *testing.B) {
	benchmarkFrom(b, func(s cron.Schedule, t time.Time) { s.Match(t) })
}

// BenchmarkCountYear counts the slots of a year.
func BenchmarkCountYear(b *testing.B) {
	benchmarkFrom(b, func(s cron.Schedule, t time.Time) { s.Count(t, t.Add(365*24*time.Hour)) })
}

func benchmarkFrom(b *testing.B, ask func(cron.Schedule, time.Time)) {
	b.Helper()
	starts := starts()
	for _, zone := range []string{"UTC", "America/New_York"} {
		for _, expr := range benchExprs {
			b.Run(zone+"/"+expr, func(b *testing.B) {
				s := mustParse(b, expr).In(location(b, zone))
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					ask(s, starts[i%len(starts)])
					i++
				}
			})
		}
	}
}
