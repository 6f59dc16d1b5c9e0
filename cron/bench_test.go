package cron_test

import (
	"testing"
	"time"

	"tminus.dev/cron"
)

func BenchmarkParse(b *testing.B) {
	for _, expr := range []string{
		"cron(0 10 * * ? *)", "cron(0/15 8-17 ? JAN-MAR MON-FRI 2026-2030)", "rate(5 minutes)", "0 9 * * MON-FRI", "@daily",
		"CRON_TZ=Europe/Berlin 0 9 * * *",
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

// BenchmarkNext walks from slot to slot over ten years, and begins again when they are over.
func BenchmarkNext(b *testing.B) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := start.AddDate(10, 0, 0)
	for _, expr := range []string{
		"cron(* * * * ? *)", "cron(0/5 8-17 ? * MON-FRI *)", "cron(0 10 L-3,15W * ? *)", "cron(0 0 29 2 ? *)", "*/15 * * * *", "rate(5 minutes)",
	} {
		for _, zone := range []string{"UTC", "America/New_York"} {
			b.Run(expr+"/"+zone, func(b *testing.B) {
				s := mustParse(b, expr).In(location(b, zone))
				b.ReportAllocs()
				t := start
				for b.Loop() {
					if t = s.Next(t); t.After(end) {
						t = start
					}
				}
			})
		}
	}
	b.Run("never", func(b *testing.B) {
		s := mustParse(b, "0 0 30 2 *")
		for b.Loop() {
			s.Next(start)
		}
	})
}
