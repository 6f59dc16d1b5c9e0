package bench_test

import (
	"testing"
	"time"

	"tminus.dev/bench"
)

func BenchmarkNext(b *testing.B) {
	for _, c := range bench.Cases {
		for _, zone := range bench.Zones {
			starts := bench.Starts(location(b, zone))
			for _, lib := range bench.Libs {
				expr := lib.Expr(c)
				if expr == "" {
					continue
				}
				b.Run("expr="+c.Name+"/zone="+zone.Name+"/lib="+lib.Name, func(b *testing.B) {
					next, err := lib.Next(expr, location(b, zone))
					if err != nil {
						b.Fatal(err)
					}
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						next(starts[i%len(starts)])
						i++
					}
				})
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range bench.Cases {
		for _, lib := range bench.Libs {
			expr := lib.Expr(c)
			if expr == "" || lib.Parse == nil {
				continue
			}
			b.Run("expr="+c.Name+"/lib="+lib.Name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := lib.Parse(expr); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func location(tb testing.TB, zone bench.Zone) *time.Location {
	tb.Helper()
	loc, err := time.LoadLocation(zone.Location)
	if err != nil {
		tb.Fatal(err)
	}
	return loc
}
