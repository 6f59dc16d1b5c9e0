package flyte

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/ident"
)

// Verdict says how two schedulers agree on a slot of a launch plan.
type Verdict string

// The verdicts. All but the first are differences.
const (
	Same      Verdict = "same"      // Both fire it, under one name of an execution, so that it runs once.
	OnlyHere  Verdict = "here"      // tminus fires it, and Flyte does not.
	OnlyThere Verdict = "there"     // Flyte fires it, and tminus does not.
	Differs   Verdict = "differs"   // Both fire it, under different names: twice, if on the same Flyte.
	Doubled   Verdict = "doubled"   // One of them fires it more than once.
	Uncertain Verdict = "uncertain" // tminus fires it, and Flyte does not say when it does.
)

// A Fire is a slot on one of the sides.
type Fire struct {
	Slot time.Time
	// Version is that of the launch plan.
	Version string
	// Execution is the name of what it launches or launched; empty means nothing.
	Execution string
	// Open says that it is not decided yet whether it launches; its Execution is the one it would have.
	Open bool
	// Note says more of it, such as why nothing was launched.
	Note string
}

// Side is what one of two schedulers makes of a launch plan in a window.
type Side struct {
	Fires []Fire
	// Unknown says why Fires is not known; empty means that it is.
	Unknown string
}

// SlotComparison is a slot on which the two differ.
type SlotComparison struct {
	Slot    time.Time `json:"slot"`
	Verdict Verdict   `json:"verdict"`
	// Here and There say what each makes of it; empty means that it is no slot there.
	Here  string `json:"here"`
	There string `json:"there"`
}

// PlanComparison is a launch plan on which the two differ.
type PlanComparison struct {
	LaunchPlan string          `json:"launchPlan"` // project/domain/name
	Slots      map[Verdict]int `json:"slots"`      // how many there are of each verdict
	// Why says what the launch plans have different; empty means nothing that is known.
	Why []string `json:"why,omitempty"`
	// First are the first slots on which they differ.
	First []SlotComparison `json:"first"`
}

// Comparison is what two schedulers make of the slots after From, up to Until.
type Comparison struct {
	From        time.Time       `json:"from"`
	Until       time.Time       `json:"until"`
	LaunchPlans int             `json:"launchPlans"` // how many were compared
	Slots       map[Verdict]int `json:"slots"`       // of all
	// Warnings are what this tminus has to say, such as that it fires nothing at present.
	Warnings []string `json:"warnings,omitempty"`
	// Differences are the launch plans on which they differ, by name.
	Differences []PlanComparison `json:"differences"`
}

// Pair is a launch plan on both sides.
type Pair struct {
	Here, There Side
	// Why says what is different, should they differ.
	Why []string
}

// compare holds what both make of launch plans against each other, and keeps the
// first few slots on which they differ of each.
func compare(pairs map[ident.Key]Pair, from, until time.Time, few int) Comparison {
	c := Comparison{From: from, Until: until, LaunchPlans: len(pairs), Slots: make(map[Verdict]int), Differences: []PlanComparison{}}
	for key, pair := range pairs {
		p := PlanComparison{LaunchPlan: key.String(), Slots: make(map[Verdict]int), Why: pair.Why, First: []SlotComparison{}}
		differs := false // Without a slot too, if Flyte fires it nobody knows when.
		for _, s := range compareSlots(pair.Here, pair.There) {
			p.Slots[s.Verdict]++
			c.Slots[s.Verdict]++
			if s.Verdict == Same {
				continue
			}
			differs = true
			if len(p.First) < few {
				p.First = append(p.First, s)
			}
		}
		if pair.There.Unknown != "" {
			differs = true
			p.Why = append(slices.Clone(p.Why), pair.There.Unknown)
		}
		if differs {
			c.Differences = append(c.Differences, p)
		}
	}
	slices.SortFunc(c.Differences, func(a, b PlanComparison) int { return cmp.Compare(a.LaunchPlan, b.LaunchPlan) })
	return c
}

// compareSlots is the verdict on each slot that one of them fires, in the order
// of time. A slot that neither launches, or of which one is undecided and the other
// has nothing, is none.
func compareSlots(here, there Side) []SlotComparison {
	type both struct{ here, there []Fire }
	slots := make(map[int64]*both) // By instant; equal times may differ in their zones.
	at := func(t time.Time) *both {
		b := slots[t.UnixNano()]
		if b == nil {
			b = &both{}
			slots[t.UnixNano()] = b
		}
		return b
	}
	for _, f := range here.Fires {
		b := at(f.Slot)
		b.here = append(b.here, f)
	}
	for _, f := range there.Fires {
		b := at(f.Slot)
		b.there = append(b.there, f)
	}
	var all []SlotComparison
	for instant, b := range slots {
		s := SlotComparison{Slot: time.Unix(0, instant).UTC(), Here: say(b.here), There: say(b.there)}
		h, t := launches(b.here), launches(b.there)
		switch {
		case len(h) > 1 || len(t) > 1:
			s.Verdict = Doubled
		case len(h)+len(t) == 0 || len(t) == 0 && h[0].Open || len(h) == 0 && t[0].Open:
			continue
		case len(h) > 0 && there.Unknown != "":
			s.Verdict, s.There = Uncertain, "unknown"
		case len(t) == 0:
			s.Verdict = OnlyHere
		case len(h) == 0:
			s.Verdict = OnlyThere
		case h[0].Execution != t[0].Execution:
			s.Verdict = Differs
		default:
			s.Verdict = Same
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b SlotComparison) int { return a.Slot.Compare(b.Slot) })
	return all
}

// launches are the fires that launch something, or may yet.
func launches(fires []Fire) []Fire {
	return slices.DeleteFunc(slices.Clone(fires), func(f Fire) bool { return f.Execution == "" })
}

// say writes fires for people.
func say(fires []Fire) string {
	texts := make([]string, len(fires))
	for i, f := range fires {
		texts[i] = strings.Join(slices.DeleteFunc([]string{f.Version, f.Execution, f.Note}, func(s string) bool { return s == "" }), " ")
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
