package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tminus.dev/internal/store"
)

// exerciseFilters compares lists with what the same filters keep of records in memory.
func exerciseFilters(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	phases := []store.Phase{store.Queued, store.Running, store.Succeeded, store.Failed}
	texts := []string{"", "a", "A", "ab", "b%", "a'b", "ü", "a_b"}
	var all []store.Execution
	for i := range 120 {
		e := store.Execution{
			Key: key(fmt.Sprintf("f%03d", i)), Kind: store.LaunchPlan, LaunchPlan: id(texts[i%len(texts)]+"x", "v"+strconv.Itoa(i%3)),
			Workflow: id("w", "v1"), Phase: phases[i/3%len(phases)], Mode: int32(i % 2), Principal: texts[i/7%len(texts)], Archived: i%5 == 0,
			CreatedAt: at(i % 9), UpdatedAt: at(i),
		}
		if i%2 == 0 {
			e.StartedAt = at(i % 11)
		}
		if i%4 == 0 {
			e.EndedAt = e.StartedAt.Add(time.Duration(i%6) * time.Second)
		}
		if i%13 == 0 {
			e.Kind, e.Workflow = store.Task, id("", "")
			e.Domain = "production"
		}
		all = append(all, e)
	}
	created(t, s, all...)

	// A field's value of a record as a text that sorts as the field does; none when it has no such field.
	type field struct {
		name  string
		value func(store.Execution) (string, bool)
		some  []string
		enum  bool
		text  bool
	}
	instant := func(t time.Time) (string, bool) { return t.UTC().Format(time.RFC3339), !t.IsZero() }
	instants := []string{at(0).Format(time.RFC3339), at(3).Format(time.RFC3339), at(7).Format(time.RFC3339), at(500).Format(time.RFC3339)}
	fields := []field{
		{name: "name", value: func(e store.Execution) (string, bool) { return e.Name, true }, some: []string{"f000", "f05", "f119", "05"}, text: true},
		{name: "execution.domain", value: func(e store.Execution) (string, bool) { return e.Domain, true }, some: []string{"production", "dev"}, text: true},
		{name: "principal", value: func(e store.Execution) (string, bool) { return e.Principal, true }, some: texts, text: true},
		{name: "launch_plan.name", value: func(e store.Execution) (string, bool) { return e.LaunchPlan.Name, e.Kind == store.LaunchPlan }, some: []string{"x", "ax", "Ax", "b%x"}, text: true},
		{name: "task.version", value: func(e store.Execution) (string, bool) { return e.LaunchPlan.Version, e.Kind == store.Task }, some: []string{"v0", "v1", "v"}, text: true},
		{name: "phase", value: func(e store.Execution) (string, bool) { return string(e.Phase), true }, some: []string{"QUEUED", "FAILED", "ABORTED"}, enum: true},
		{name: "mode", value: func(e store.Execution) (string, bool) { return strconv.Itoa(int(e.Mode)), true }, some: []string{"0", "1"}, enum: true},
		{name: "state", value: func(e store.Execution) (string, bool) {
			return map[bool]string{false: "0", true: "1"}[e.Archived], true
		}, some: []string{"0", "1"}, enum: true},
		{name: "created_at", value: func(e store.Execution) (string, bool) { return instant(e.CreatedAt) }, some: instants},
		{name: "started_at", value: func(e store.Execution) (string, bool) { return instant(e.StartedAt) }, some: instants},
		{name: "ended_at", value: func(e store.Execution) (string, bool) { return instant(e.EndedAt) }, some: instants},
		{name: "duration", value: func(e store.Execution) (string, bool) {
			return e.EndedAt.Sub(e.StartedAt).String(), !e.EndedAt.IsZero()
		}, some: []string{"0s", "2s", "4s"}},
	}
	keeps := func(f field, op store.Op, values []string, e store.Execution) bool {
		v, has := f.value(e)
		if !has {
			return op == store.Ne
		}
		order := cmp.Compare(v, values[0])
		switch op {
		case store.Eq:
			return order == 0
		case store.Ne:
			return order != 0
		case store.Gt:
			return order > 0
		case store.Gte:
			return order >= 0
		case store.Lt:
			return order < 0
		case store.Lte:
			return order <= 0
		case store.Contains:
			return strings.Contains(v, values[0])
		case store.ValueIn:
			return slices.Contains(values, v)
		}
		return false
	}

	rapid.Check(t, func(t *rapid.T) {
		q := store.Query{Limit: 1000, SortBy: "name", Ascending: true}
		q.Domain = rapid.SampledFrom([]string{"", "production"}).Draw(t, "domain")
		kept := all
		for range rapid.IntRange(0, 3).Draw(t, "filters") {
			f := rapid.SampledFrom(fields).Draw(t, "field")
			ops := []store.Op{store.Eq, store.Ne, store.ValueIn}
			if !f.enum {
				ops = append(ops, store.Gt, store.Gte, store.Lt, store.Lte)
			}
			if f.text {
				ops = append(ops, store.Contains)
			}
			op := rapid.SampledFrom(ops).Draw(t, "op")
			values := rapid.SliceOfN(rapid.SampledFrom(f.some), 1, 3).Draw(t, "values")
			if op != store.ValueIn {
				values = values[:1]
			}
			q.Filters = append(q.Filters, store.Filter{Field: f.name, Op: op, Values: values})
			kept = slices.DeleteFunc(slices.Clone(kept), func(e store.Execution) bool { return !keeps(f, op, values, e) })
		}
		if q.Domain != "" {
			kept = slices.DeleteFunc(slices.Clone(kept), func(e store.Execution) bool { return e.Domain != q.Domain })
		}
		got, err := s.Executions(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(executionNames(got), executionNames(kept)) {
			t.Fatalf("%+v keeps\n%v, and should keep\n%v", q.Filters, executionNames(got), executionNames(kept))
		}
	})
}
