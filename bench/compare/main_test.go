package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.txt")
	if err := os.WriteFile(file, []byte(`goos: linux
BenchmarkNext/expr=feb-29/zone=UTC/lib=tminus-2   	1	30 ns/op	0 B/op	0 allocs/op
BenchmarkNext/expr=feb-29/zone=UTC/lib=tminus-2   	1	20 ns/op	0 B/op	0 allocs/op
BenchmarkNext/expr=feb-29/zone=UTC/lib=tminus-2   	1	90 ns/op	0 B/op	0 allocs/op
BenchmarkNext/expr=feb-29/zone=UTC/lib=gorhill-2  	1	300 ns/op	9 B/op	1 allocs/op
BenchmarkNext/expr=feb-29/zone=UTC/lib=robfig-2   	1	400 ns/op	0 B/op	0 allocs/op
BenchmarkNext/expr=feb-29/zone=UTC/lib=quartz-2   	1	40 ns/op	0 B/op	0 allocs/op
BenchmarkNext/expr=last-day/zone=UTC/lib=tminus-2 	1	120 ns/op	0 B/op	0 allocs/op
BenchmarkNext/expr=last-day/zone=UTC/lib=quartz-2 	1	600 ns/op	0 B/op	0 allocs/op
BenchmarkParse/expr=feb-29/lib=tminus-2           	1	100 ns/op	0 B/op	0 allocs/op
BenchmarkParse/expr=feb-29/lib=quartz-2           	1	200 ns/op	9 B/op	3 allocs/op
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run([]string{file}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| feb-29 | UTC | 30.0 ns | 0 | gorhill | 300.0 ns | 10.0 |\n", // quartz is wrong there
		"| last-day | UTC | 120.0 ns | 0 | quartz | 600.0 ns | 5.0 |\n",
		"The geometric mean of tminus is 60.0 ns in UTC.\n",
		"| feb-29 | 100.0 ns | 0 | quartz | 200.0 ns | 2.0 |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
