package alert

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/store"
)

// Notification is what people are told at one time: the data of templates, and
// in JSON what a webhook takes.
type Notification struct {
	// Version is that of this schema, 1. Fields may be added to it.
	Version int `json:"version"`
	// ID is the same in every channel and on every attempt.
	ID string `json:"id"`
	// From is Config.Name.
	From string    `json:"from"`
	At   time.Time `json:"at"`
	// Summary is one line.
	Summary string `json:"summary"`
	// Began holds new alerts, Lasting those of which people are reminded, and
	// Ended those that are over. One that ended at once is in Began and in Ended.
	Began   Section `json:"began"`
	Lasting Section `json:"lasting"`
	Ended   Section `json:"ended"`
}

// Section is a part of a Notification, the gravest alerts first.
type Section struct {
	// Count is how many alerts there are, Kinds how many of each kind.
	Count int                     `json:"count"`
	Kinds map[store.AlertKind]int `json:"kinds,omitempty"`
	// Alerts lists Config.MaxListed of them at most.
	Alerts []Notice `json:"alerts"`
}

// Rest is how many alerts are not listed.
func (s Section) Rest() int { return s.Count - len(s.Alerts) }

// Notice is one alert as people are told of it.
type Notice struct {
	// Schedule is project/domain/name.
	Schedule   string          `json:"schedule"`
	Project    string          `json:"project"`
	Domain     string          `json:"domain"`
	LaunchPlan string          `json:"launch_plan"`
	Kind       store.AlertKind `json:"kind"`
	// What says in one line what is wrong.
	What string `json:"what"`
	// Slot is the latest slot in trouble.
	Slot time.Time `json:"slot"`
	// Lateness and Limit are those of the slot, for the kind late.
	Lateness Seconds `json:"lateness_seconds,omitempty"`
	Limit    Seconds `json:"limit_seconds,omitempty"`
	// Count is how many slots were missed, or how many executions failed in a row.
	Count  int       `json:"count,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	// EndedAt, EndSlot and EndReason say when and with which slot it ended, and why where that is not plain.
	EndedAt   time.Time `json:"ended_at,omitzero"`
	EndSlot   time.Time `json:"end_slot,omitzero"`
	EndReason string    `json:"end_reason,omitempty"`
	// Look is the command that shows more.
	Look string `json:"look"`
}

// Seconds is a duration that is a number of seconds in JSON, and rounded as text.
type Seconds time.Duration

// MarshalJSON writes seconds.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON reads seconds.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var n float64
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("seconds: %w", err)
	}
	*s = Seconds(n * float64(time.Second))
	return nil
}

// String is such as 1h2m, 12m, 30s or 850ms.
func (s Seconds) String() string {
	d := time.Duration(s)
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Second:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Millisecond)
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// notice is what is said of a.
func notice(a store.Alert) Notice {
	n := Notice{
		Schedule: a.Schedule.String(), Project: a.Schedule.Project, Domain: a.Schedule.Domain, LaunchPlan: a.Schedule.Name,
		Kind: a.Kind, Slot: a.Slot, Lateness: Seconds(a.Lateness), Limit: Seconds(a.Limit), Count: a.Count, Reason: a.Reason,
		Since: a.Since, EndedAt: a.EndedAt, EndSlot: a.EndSlot, EndReason: a.EndReason,
	}
	slot := instant(a.Slot)
	switch a.Kind {
	case store.AlertLate:
		n.What = fmt.Sprintf("slot %s is %s late, limit %s", slot, n.Lateness, n.Limit)
	case store.AlertMissed:
		n.What = fmt.Sprintf("slot %s was missed", slot)
		if a.Count > 1 {
			n.What = fmt.Sprintf("%d slots were missed, %s the last", a.Count, slot)
		}
	case store.AlertDead:
		n.What = fmt.Sprintf("the launch of slot %s was given up", slot)
	case store.AlertFailing:
		n.What = fmt.Sprintf("the execution of slot %s failed", slot)
		if a.Count > 1 {
			n.What = fmt.Sprintf("%d executions failed in a row, that of slot %s the last", a.Count, slot)
		}
	}
	n.Look = look(n)
	return n
}

// look is the command that shows more of n.
func look(n Notice) string {
	place := fmt.Sprintf("-p %s -d %s", quote(n.Project), quote(n.Domain))
	if n.Kind == store.AlertFailing {
		return fmt.Sprintf("tminus executions list %s --phase failed --launchplan=%s", place, quote(n.LaunchPlan))
	}
	if n.Kind == store.AlertMissed || n.Kind == store.AlertDead {
		place += " --outcome " + string(n.Kind)
	}
	if strings.HasPrefix(n.LaunchPlan, "-") {
		place += " --"
	}
	return fmt.Sprintf("tminus firings list %s %s", place, quote(n.LaunchPlan))
}

// quote makes a name safe to paste into a shell.
func quote(name string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-/", r)
	}
	if strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) < 0 {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// section lists the gravest most of alerts, and counts all.
func section(alerts []store.Alert, most int) Section {
	s := Section{Count: len(alerts), Alerts: []Notice{}}
	if len(alerts) == 0 {
		return s
	}
	s.Kinds = map[store.AlertKind]int{}
	for _, a := range alerts {
		s.Kinds[a.Kind]++
	}
	alerts = slices.SortedFunc(slices.Values(alerts), func(a, b store.Alert) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			strings.Compare(a.Schedule.String(), b.Schedule.String()))
	})
	for _, a := range alerts[:min(most, len(alerts))] {
		s.Alerts = append(s.Alerts, notice(a))
	}
	return s
}

// notification tells of alerts.
func notification(id, from string, at time.Time, began, lasting, ended []store.Alert, most int) Notification {
	n := Notification{
		Version: 1, ID: id, From: from, At: at,
		Began: section(began, most), Lasting: section(lasting, most), Ended: section(ended, most),
	}
	n.Summary = summary(n)
	return n
}

func summary(n Notification) string {
	one := func(s Section) bool { return s.Count == 1 && len(s.Alerts) == 1 }
	b, l, e := n.Began, n.Lasting, n.Ended
	switch {
	case one(b) && l.Count == 0 && e.Count == 0:
		return fmt.Sprintf("%s: %s: %s", b.Alerts[0].Kind, b.Alerts[0].Schedule, b.Alerts[0].What)
	case one(b) && l.Count == 0 && one(e) && b.Alerts[0].Schedule == e.Alerts[0].Schedule && b.Alerts[0].Kind == e.Alerts[0].Kind:
		return fmt.Sprintf("%s, and over: %s: %s", b.Alerts[0].Kind, b.Alerts[0].Schedule, b.Alerts[0].What)
	case b.Count == 0 && one(l) && e.Count == 0:
		return fmt.Sprintf("still %s: %s: %s", l.Alerts[0].Kind, l.Alerts[0].Schedule, l.Alerts[0].What)
	case b.Count == 0 && l.Count == 0 && one(e):
		return fmt.Sprintf("recovered: %s, was %s", e.Alerts[0].Schedule, e.Alerts[0].Kind)
	}
	var parts []string
	for _, part := range []struct {
		verb string
		Section
	}{{"began", b}, {"still last", l}, {"recovered", e}} {
		if part.Count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%s)", part.Count, part.verb, part.counts()))
		}
	}
	return "alerts: " + strings.Join(parts, ", ")
}

// counts is such as "2 missed, 10 late".
func (s Section) counts() string {
	var parts []string
	for _, k := range kinds {
		if s.Kinds[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", s.Kinds[k], k))
		}
	}
	return strings.Join(parts, ", ")
}
