package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// Alerts keeps alerts and the messages about them. What each method promises is said at alert.Store.
type Alerts interface {
	OpenAlerts(ctx context.Context, each func(id store.AlertID, slot time.Time)) error
	AmendAlerts(ctx context.Context, ids []store.AlertID, amend func(now time.Time, found []store.Alert) []store.Alert) error
	AnnounceAlerts(ctx context.Context, remind time.Duration, limit int, announce func(store.AlertBook) store.AlertChanges) error
	ClaimAlertMessage(ctx context.Context, channel string, lease time.Duration) (store.AlertClaim, error)
	SettleAlertMessage(ctx context.Context, r store.AlertReceipt) error
}

// ExerciseAlerts holds a database to the contract of alerts. open returns an empty one.
func ExerciseAlerts(t *testing.T, open func(t *testing.T) Alerts) {
	for name, exercise := range map[string]func(*testing.T, Alerts){
		"amends what is there":               exerciseAmend,
		"changes nothing for who has gone":   exerciseAmendCancelled,
		"amends one after the other":         exerciseAmendConcurrently,
		"announces what is untold":           exerciseAnnounce,
		"announces the earliest first":       exerciseAnnounceLimit,
		"reminds":                            exerciseRemind,
		"counts groups":                      exerciseGroups,
		"announces once":                     exerciseAnnounceConcurrently,
		"gives messages in order":            exerciseMessages,
		"gives a message to one":             exerciseClaimConcurrently,
		"gives a message again":              exerciseLease,
		"tries again when it is time":        exerciseRetry,
		"keeps channels apart":               exerciseChannels,
		"does not listen to who came late":   exerciseFence,
		"keeps every byte and every instant": exerciseFidelity,
	} {
		t.Run(name, func(t *testing.T) { exercise(t, open(t)) })
	}
}

func alertID(name string, kind store.AlertKind) store.AlertID {
	return store.AlertID{Schedule: ident.Key{Project: "p", Domain: "d", Name: name}, Kind: kind}
}

func lasting(name string) store.Alert {
	return store.Alert{AlertID: alertID(name, store.AlertLate), Slot: noon, Lateness: time.Minute, Limit: time.Second, Since: noon, ChangedAt: noon}
}

func over(name string) store.Alert {
	a := lasting(name)
	a.EndedAt, a.EndSlot, a.EndReason = at(5), at(4), "on time"
	return a
}

func put(t *testing.T, s Alerts, alerts ...store.Alert) {
	t.Helper()
	var ids []store.AlertID
	for _, a := range alerts {
		ids = append(ids, a.AlertID)
	}
	check(t, s.AmendAlerts(t.Context(), ids, func(time.Time, []store.Alert) []store.Alert { return alerts }))
}

// alerts reads those of the names that there are, as late alerts, by name.
func alerts(t *testing.T, s Alerts, names ...string) []store.Alert {
	t.Helper()
	var ids []store.AlertID
	for _, name := range names {
		ids = append(ids, alertID(name, store.AlertLate))
	}
	var got []store.Alert
	check(t, s.AmendAlerts(t.Context(), ids, func(_ time.Time, found []store.Alert) []store.Alert {
		got = slices.Clone(found)
		return nil
	}))
	return byName(got)
}

func byName(alerts []store.Alert) []store.Alert {
	slices.SortFunc(alerts, func(a, b store.Alert) int {
		return cmp.Or(cmp.Compare(a.Schedule.Name, b.Schedule.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return alerts
}

func alertNames(alerts []store.Alert) []string {
	names := []string{}
	for _, a := range alerts {
		names = append(names, a.Schedule.Name)
	}
	return names
}

// untold reads what there is to announce, and changes nothing.
func untold(t *testing.T, s Alerts, remind time.Duration, limit int) store.AlertBook {
	t.Helper()
	var book store.AlertBook
	check(t, s.AnnounceAlerts(t.Context(), remind, limit, func(b store.AlertBook) store.AlertChanges {
		book = b
		return store.AlertChanges{}
	}))
	return book
}

// write announces, changing what is given.
func write(t *testing.T, s Alerts, c store.AlertChanges) store.AlertBook {
	t.Helper()
	var book store.AlertBook
	check(t, s.AnnounceAlerts(t.Context(), 0, 100, func(b store.AlertBook) store.AlertChanges {
		book = b
		return c
	}))
	return book
}

func exerciseAmend(t *testing.T, s Alerts) {
	ctx := t.Context()
	same(t, "nothing there", len(alerts(t, s, "a", "b")), 0)
	a, b := lasting("a"), over("b")
	put(t, s, a, b)
	same(t, "stored", alerts(t, s, "a", "b", "c"), []store.Alert{a, b})
	same(t, "only what was named", alertNames(alerts(t, s, "b")), []string{"b"})
	otherKind := lasting("a")
	otherKind.Kind = store.AlertDead
	put(t, s, otherKind)
	a.Count, a.Reason, a.Slot = 7, "because", at(9)
	put(t, s, a)
	same(t, "replaced", alerts(t, s, "a"), []store.Alert{a})
	open := map[store.AlertID]time.Time{}
	check(t, s.OpenAlerts(ctx, func(id store.AlertID, slot time.Time) { open[id] = slot }))
	same(t, "open", open, map[store.AlertID]time.Time{a.AlertID: at(9), otherKind.AlertID: noon})
}

func exerciseAmendCancelled(t *testing.T, s Alerts) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.AmendAlerts(ctx, []store.AlertID{alertID("a", store.AlertLate)}, func(time.Time, []store.Alert) []store.Alert {
		cancel()
		return []store.Alert{lasting("a")}
	})
	wantError(t, err, context.Canceled)
	same(t, "stored", len(alerts(t, s, "a")), 0)
}

func exerciseAmendConcurrently(t *testing.T, s Alerts) {
	const writers, times = 4, 10
	ids := []store.AlertID{alertID("a", store.AlertLate)}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range times {
				err := s.AmendAlerts(t.Context(), ids, func(_ time.Time, found []store.Alert) []store.Alert {
					a := lasting("a")
					if len(found) > 0 {
						a = found[0]
					}
					a.Count++
					return []store.Alert{a}
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	same(t, "count", alerts(t, s, "a")[0].Count, writers*times)
}

func exerciseAnnounce(t *testing.T, s Alerts) {
	book := untold(t, s, time.Hour, 10)
	same(t, "no alerts", len(book.Alerts), 0)
	same(t, "never told", book.ToldAt, time.Time{})
	told := lasting("told")
	told.ToldAt = at(1)
	toldOver := over("told-over")
	toldOver.ToldAt = at(1)
	put(t, s, lasting("new"), over("new-over"), told, toldOver)
	book = untold(t, s, 0, 10)
	same(t, "untold", alertNames(byName(book.Alerts)), []string{"new", "new-over", "told-over"})
	same(t, "still never told", book.ToldAt, time.Time{})

	begun := lasting("new")
	begun.ToldAt, begun.Group = at(2), "g"
	before := write(t, s, store.AlertChanges{
		Put: []store.Alert{begun}, Drop: []store.AlertID{over("new-over").AlertID, toldOver.AlertID},
		Messages: []store.AlertMessage{{ID: "m", Channel: "c", Body: []byte(`{}`), Deadline: fromNow(time.Hour)}},
	})
	after := untold(t, s, 0, 10)
	same(t, "untold afterwards", len(after.Alerts), 0)
	same(t, "told at the announcement", after.ToldAt, before.Now)
	same(t, "what is left", alerts(t, s, "new", "new-over", "told", "told-over"), []store.Alert{begun, told})
	same(t, "message", must(s.ClaimAlertMessage(t.Context(), "c", time.Minute))(t).Message.ID, "m")
}

// fromNow is an instant that is d away from now, to the microsecond.
func fromNow(d time.Duration) time.Time { return time.Now().Add(d).UTC().Truncate(time.Microsecond) }

func exerciseAnnounceLimit(t *testing.T, s Alerts) {
	var all []store.Alert
	for i, name := range []string{"third", "first", "fourth", "second"} {
		a := lasting(name)
		a.ChangedAt = at([]int{3, 1, 4, 2}[i])
		all = append(all, a)
	}
	put(t, s, all...)
	same(t, "the earliest", slices.Sorted(slices.Values(alertNames(untold(t, s, 0, 2).Alerts))), []string{"first", "second"})
}

func exerciseRemind(t *testing.T, s Alerts) {
	long, recent, ended := lasting("long"), lasting("recent"), over("ended")
	long.ToldAt, recent.ToldAt, ended.ToldAt = fromNow(-time.Hour), fromNow(-time.Minute), fromNow(-time.Hour)
	put(t, s, long, recent, ended)
	same(t, "without reminders", alertNames(untold(t, s, 0, 10).Alerts), []string{"ended"})
	same(t, "after half an hour", alertNames(byName(untold(t, s, 30*time.Minute, 10).Alerts)), []string{"ended", "long"})
}

func exerciseGroups(t *testing.T, s Alerts) {
	member := func(name, group string, over bool) store.Alert {
		a := lasting(name)
		a.Group, a.ToldAt = group, at(1)
		if over {
			a.EndedAt = at(5)
		}
		return a
	}
	put(t, s, member("a", "g", true), member("b", "g", false), member("c", "g", false), member("d", "h", true), member("e", "i", false), lasting("f"))
	same(t, "members", untold(t, s, 0, 10).Groups, map[string]int{"g": 3, "h": 1})
}

func exerciseAnnounceConcurrently(t *testing.T, s Alerts) {
	for i := range 20 {
		put(t, s, lasting(strconv.Itoa(i)))
	}
	var mu sync.Mutex
	times := map[string]int{}
	var wg sync.WaitGroup
	for replica := range 4 {
		wg.Go(func() {
			var told []store.Alert
			err := s.AnnounceAlerts(t.Context(), 0, 100, func(b store.AlertBook) store.AlertChanges {
				told = slices.Clone(b.Alerts)
				c := store.AlertChanges{Messages: []store.AlertMessage{{
					ID: fmt.Sprint("m", replica), Channel: "c", Body: []byte(`{}`), Deadline: b.Now.Add(time.Hour),
				}}}
				for _, a := range b.Alerts {
					a.ToldAt = b.Now
					c.Put = append(c.Put, a)
				}
				return c
			})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range told {
				times[a.Schedule.Name]++
			}
		})
	}
	wg.Wait()
	same(t, "alerts told", len(times), 20)
	for name, n := range times {
		same(t, "times that "+name+" was told", n, 1)
	}
}

func messages(channel string, ids ...string) store.AlertChanges {
	var c store.AlertChanges
	for _, id := range ids {
		c.Messages = append(c.Messages, store.AlertMessage{ID: id, Channel: channel, Body: []byte(`{"id":"` + id + `"}`), Deadline: fromNow(time.Hour)})
	}
	return c
}

func claimMessage(t *testing.T, s Alerts, channel string, lease time.Duration) store.AlertClaim {
	t.Helper()
	return must(s.ClaimAlertMessage(t.Context(), channel, lease))(t)
}

func settleMessage(t *testing.T, s Alerts, c store.AlertClaim, result store.AlertResult, after time.Duration) {
	t.Helper()
	check(t, s.SettleAlertMessage(t.Context(), store.AlertReceipt{ID: c.Message.ID, Attempt: c.Attempt, Result: result, After: after}))
}

func exerciseMessages(t *testing.T, s Alerts) {
	same(t, "none", claimMessage(t, s, "c", time.Minute), store.AlertClaim{})
	write(t, s, messages("c", "z", "y"))
	write(t, s, messages("c", "x"))
	for i, id := range []string{"z", "y", "x"} {
		c := claimMessage(t, s, "c", time.Minute)
		same(t, "message", c.Message.ID, id)
		same(t, "body", string(c.Message.Body), `{"id":"`+id+`"}`)
		same(t, "attempt", c.Attempt, 1)
		if c.Left <= 59*time.Minute || c.Left > time.Hour {
			t.Errorf("%s is left of an hour", c.Left)
		}
		held := claimMessage(t, s, "c", time.Minute)
		same(t, "attempt while it is held", held.Attempt, 0)
		if held.Wait <= 0 || held.Wait > time.Minute {
			t.Errorf("waits for %s, the lease is a minute", held.Wait)
		}
		settleMessage(t, s, c, []store.AlertResult{store.AlertSent, store.AlertLost, store.AlertSent}[i], 0)
	}
	same(t, "none left", claimMessage(t, s, "c", time.Minute), store.AlertClaim{})
}

func exerciseClaimConcurrently(t *testing.T, s Alerts) {
	write(t, s, messages("c", "m"))
	var mu sync.Mutex
	claims := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := s.ClaimAlertMessage(t.Context(), "c", time.Minute)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			claims += c.Attempt
		})
	}
	wg.Wait()
	same(t, "claims", claims, 1)
}

func exerciseLease(t *testing.T, s Alerts) {
	write(t, s, messages("c", "first", "second"))
	claimMessage(t, s, "c", time.Millisecond)
	again := eventually(t, s, "c")
	same(t, "the same", again.Message.ID, "first")
	same(t, "attempt", again.Attempt, 2)
}

// eventually waits for a message as long as the database says.
func eventually(t *testing.T, s Alerts, channel string) store.AlertClaim {
	t.Helper()
	for {
		c := claimMessage(t, s, channel, time.Minute)
		if c.Attempt > 0 || c.Wait == 0 {
			return c
		}
		<-time.After(c.Wait)
	}
}

func exerciseRetry(t *testing.T, s Alerts) {
	write(t, s, messages("c", "first", "second"))
	settleMessage(t, s, claimMessage(t, s, "c", time.Minute), store.AlertRetry, 30*time.Millisecond)
	if c := claimMessage(t, s, "c", time.Minute); c.Attempt == 0 && (c.Wait <= 0 || c.Wait > 30*time.Millisecond) {
		t.Errorf("waits for %s, the pause is 30ms", c.Wait)
	} else if c.Attempt != 0 { // A slow machine.
		settleMessage(t, s, c, store.AlertRetry, time.Millisecond)
	}
	again := eventually(t, s, "c")
	same(t, "the same", again.Message.ID, "first")
	if again.Attempt < 2 {
		t.Errorf("attempt %d", again.Attempt)
	}
	settleMessage(t, s, again, store.AlertSent, 0)
	same(t, "then the next", claimMessage(t, s, "c", time.Minute).Message.ID, "second")
}

func exerciseChannels(t *testing.T, s Alerts) {
	write(t, s, messages("stuck", "a"))
	write(t, s, messages("well", "b"))
	settleMessage(t, s, claimMessage(t, s, "stuck", time.Minute), store.AlertRetry, time.Hour)
	same(t, "message", claimMessage(t, s, "well", time.Minute).Message.ID, "b")
	same(t, "an unknown channel", claimMessage(t, s, "other", time.Minute), store.AlertClaim{})
}

func exerciseFence(t *testing.T, s Alerts) {
	ctx := t.Context()
	wantError(t, s.SettleAlertMessage(ctx, store.AlertReceipt{ID: "unknown", Attempt: 1, Result: store.AlertSent}), store.ErrNotFound)
	write(t, s, messages("c", "m"))
	stalled := claimMessage(t, s, "c", time.Millisecond)
	other := eventually(t, s, "c")
	late := store.AlertReceipt{ID: "m", Attempt: stalled.Attempt, Result: store.AlertLost, Error: "too slow"}
	wantError(t, s.SettleAlertMessage(ctx, late), store.ErrNotFound)
	same(t, "still held", claimMessage(t, s, "c", time.Minute).Attempt, 0)
	settleMessage(t, s, other, store.AlertSent, 0)
	late.Attempt = other.Attempt
	wantError(t, s.SettleAlertMessage(ctx, late), store.ErrNotFound)
}

func exerciseFidelity(t *testing.T, s Alerts) {
	a := over("a")
	a.AlertID = store.AlertID{Schedule: ident.Key{Project: "prüf", Domain: "d'", Name: `"n%_`}, Kind: store.AlertFailing}
	a.Reason, a.EndReason, a.Count, a.Group = "it's 100 % \"so\" \\ … é", "ü", 12, "g/1"
	a.Lateness, a.Limit = 1234567*time.Microsecond, 26*time.Hour
	a.Slot = noon.Add(123456 * time.Microsecond)
	a.ToldAt = noon.Add(time.Microsecond)
	put(t, s, a)
	same(t, "alert", untold(t, s, 0, 10).Alerts, []store.Alert{a})
	m := store.AlertMessage{ID: "m", Channel: "c", Body: []byte("{ \"b\" : 1,\n\"a\":\"\\u00e9 é\" }"), Deadline: fromNow(time.Hour)}
	write(t, s, store.AlertChanges{Messages: []store.AlertMessage{m}})
	same(t, "message", claimMessage(t, s, "c", time.Minute).Message, m)
}

func exerciseAlerts(t *testing.T, open func(t *testing.T) Store) {
	ExerciseAlerts(t, func(t *testing.T) Alerts { return open(t) })
}
