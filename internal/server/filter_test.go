package server

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/store"
)

func TestParseFilters(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text string
		want []store.Filter
	}{
		{"", nil},
		{"eq(state,1)", []store.Filter{{Field: "state", Op: store.Eq, Values: []string{"1"}}}},
		{"eq(state, 1)", []store.Filter{{Field: "state", Op: store.Eq, Values: []string{"1"}}}},
		{"eq(state,1)+ne(schedule_type,NONE)", []store.Filter{
			{Field: "state", Op: store.Eq, Values: []string{"1"}},
			{Field: "schedule_type", Op: store.Ne, Values: []string{"NONE"}},
		}},
		// As a URL has it in which "+" was not escaped.
		{"eq(state,1) ne(schedule_type,NONE)", []store.Filter{
			{Field: "state", Op: store.Eq, Values: []string{"1"}},
			{Field: "schedule_type", Op: store.Ne, Values: []string{"NONE"}},
		}},
		{"value_in(phase,FAILED;SUCCEEDED)", []store.Filter{{Field: "phase", Op: store.ValueIn, Values: []string{"FAILED", "SUCCEEDED"}}}},
		{"gte(updated_at,2026-01-01T00:00:00+02:00)+lt(launch_plan.name,x)", []store.Filter{
			{Field: "updated_at", Op: store.Gte, Values: []string{"2026-01-01T00:00:00+02:00"}},
			{Field: "launch_plan.name", Op: store.Lt, Values: []string{"x"}},
		}},
		{"contains(name,f(x))", []store.Filter{{Field: "name", Op: store.Contains, Values: []string{"f(x)"}}}},
		{"eq(name,a,b)", []store.Filter{{Field: "name", Op: store.Eq, Values: []string{"a,b"}}}},
		{"gt(a,1)+gte(a,1)+lt(a,1)+lte(a,1)", []store.Filter{
			{Field: "a", Op: store.Gt, Values: []string{"1"}},
			{Field: "a", Op: store.Gte, Values: []string{"1"}},
			{Field: "a", Op: store.Lt, Values: []string{"1"}},
			{Field: "a", Op: store.Lte, Values: []string{"1"}},
		}},
	} {
		got, err := parseFilters(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.text, diff)
		}
	}
}

func TestParseFiltersRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"x":                             "at character 1",
		"+":                             "at character 1",
		" eq(a,1)":                      "at character 1",
		"EQ(a,1)":                       "at character 1",
		"eq(a,1)eq(b,2)":                "at character 8",
		"eq(a,1)++eq(b,2)":              "at character 9",
		"eq(a,1)+":                      "at character 8",
		"eq(,1)":                        "is empty",
		"eq(A,1)":                       "lower-case",
		"eq(a b,1)":                     "lower-case",
		"eq(a,)":                        "no value",
		"eq(a, )":                       "no value",
		"eq()":                          "comma",
		"eq(a)+eq(b,1)":                 "comma",
		"eq(a,1":                        "no closing parenthesis",
		"eq(a,(1)":                      "no closing parenthesis",
		"eq(a,1))":                      "at character 8",
		"eq(" + xs(65) + ",1)":          "too long",
		"eq(a," + xs(9000) + ")":        "8192 is the most",
		"value_in(a," + semi(257) + ")": "256 is the most",
	} {
		got, err := parseFilters(text)
		if err == nil || !strings.HasPrefix(err.Error(), "filters: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: %v, %v; want %s", text, got, err, want)
		}
	}
}

func xs(n int) string { return strings.Repeat("x", n) }

func semi(n int) string { return strings.TrimSuffix(strings.Repeat("1;", n), ";") }

// What is read can be written, and then reads the same.
func FuzzParseFilters(f *testing.F) {
	for _, seed := range []string{"", "eq(state,1)+ne(a,b)", "value_in(a,1;2)", "gte(a,2026-01-01T00:00:00+02:00)", "eq(a,b())+eq(c,d)", "eq(a", "contains(a, +)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filters, err := parseFilters(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "filters: ") {
				t.Errorf("%q: the error does not name the field: %v", text, err)
			}
			return
		}
		var parts []string
		for _, c := range filters {
			parts = append(parts, string(c.Op)+"("+c.Field+", "+strings.Join(c.Values, ";")+")")
		}
		again, err := parseFilters(strings.Join(parts, "+"))
		if err != nil {
			t.Fatalf("%q reads, but %q does not: %v", text, parts, err)
		}
		if diff := cmp.Diff(filters, again); diff != "" {
			t.Errorf("%q (-first +again):\n%s", text, diff)
		}
	})
}
