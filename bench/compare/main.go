// Command compare reads the output of the benchmarks, from files or its standard input, and prints tables for
// docs/performance.md: the medians of tminus, and those of the fastest peer that finds the right slots.
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"

	"tminus.dev/bench"
)

func main() {
	flag.Parse()
	if err := run(flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(files []string, w io.Writer) error {
	m, err := read(files)
	if err != nil {
		return err
	}
	next(w, m)
	parse(w, m)
	return nil
}

// A key names what one library does in one benchmark.
type key struct {
	benchmark, expr, zone, lib string
}

// measurements has a number for each time that a benchmark ran.
type measurements map[key]struct{ ns, allocs []float64 }

var benchmarkName = regexp.MustCompile(`^(\w+)/expr=([^/]+)(?:/zone=([^/]+))?/lib=(\w+)(?:-\d+)?$`)

func read(files []string) (measurements, error) {
	m := measurements{}
	input := benchfmt.Files{Paths: files, AllowStdin: true}
	for input.Scan() {
		switch r := input.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, r
		case *benchfmt.Result:
			name := benchmarkName.FindStringSubmatch(r.Name.String())
			if name == nil {
				return nil, fmt.Errorf("a benchmark of another kind: %s", r.Name)
			}
			seconds, _ := r.Value("sec/op")
			allocs, _ := r.Value("allocs/op")
			k := key{name[1], name[2], name[3], name[4]}
			all := m[k]
			all.ns, all.allocs = append(all.ns, seconds*1e9), append(all.allocs, allocs)
			m[k] = all
		}
	}
	return m, input.Err()
}

// next prints the table of Next, and tminus's geometric mean for each zone.
func next(w io.Writer, m measurements) {
	fmt.Fprintln(w, "| Next | zone | tminus | allocations | fastest peer that is right | its time | times as long |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- |")
	var means []string
	for _, zone := range bench.Zones {
		var logs, n float64
		for _, c := range bench.Cases {
			if ns, ok := compare(w, m, key{"Next", c.Name, zone.Name, "tminus"}); ok {
				logs += math.Log(ns)
				n++
			}
		}
		if n > 0 {
			means = append(means, fmt.Sprintf("%.1f ns in %s", math.Exp(logs/n), zone.Location))
		}
	}
	fmt.Fprintf(w, "\nThe geometric mean of tminus is %s.\n\n", strings.Join(means, ", "))
}

func parse(w io.Writer, m measurements) {
	fmt.Fprintln(w, "| Parse | tminus | allocations | fastest peer | its time | times as long |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- |")
	for _, c := range bench.Cases {
		compare(w, m, key{"Parse", c.Name, "", "tminus"})
	}
}

// compare prints the line of a case, and returns tminus's median.
func compare(w io.Writer, m measurements, tminus key) (ns float64, ok bool) {
	own, ok := m[tminus]
	if !ok {
		return 0, false
	}
	ns = median(own.ns)
	fastest, best := "none", math.Inf(1)
	for _, lib := range bench.Libs {
		peer := tminus
		peer.lib = lib.Name
		if all, ok := m[peer]; ok && peer != tminus && bench.Right(lib.Name, peer.expr, peer.zone) && median(all.ns) < best {
			fastest, best = lib.Name, median(all.ns)
		}
	}
	zone := ""
	if tminus.zone != "" {
		zone = " " + tminus.zone + " |"
	}
	fmt.Fprintf(w, "| %s |%s %.1f ns | %.0f | %s | %.1f ns | %.1f |\n", tminus.expr, zone, ns, slices.Max(own.allocs), fastest, best, best/ns)
	return ns, true
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
