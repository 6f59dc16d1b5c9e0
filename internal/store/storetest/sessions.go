package storetest

import (
	"testing"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

func exerciseSessions(t *testing.T, open func(t *testing.T) Store) {
	const lease = time.Minute
	second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

	t.Run("last as long as they are renewed", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		beat := func(session int64, now time.Time) store.Beat {
			t.Helper()
			return must(s.Beat(ctx, session, now, lease))(t)
		}
		a := beat(0, second(0)).Session
		if a == 0 {
			t.Fatal("the session has no number")
		}
		b := beat(0, second(10)).Session
		for _, c := range []struct {
			name             string
			session          int64
			now              time.Time
			renewed          bool
			replicas         int
			since            time.Time
			aliveA, aliveTwo bool
		}{
			{"renewed", a, second(30), true, 2, noon, true, true},
			{"renewed at the last moment", b, second(69), true, 2, noon, true, true},
			{"the other is over", b, second(90), true, 1, noon, false, true},
			{"one that is over begins anew", a, second(91), false, 2, noon, false, true},
		} {
			got := beat(c.session, c.now)
			same(t, c.name, got.Session == c.session, c.renewed)
			same(t, c.name+": replicas", got.Replicas, c.replicas)
			same(t, c.name+": since", got.Since, c.since)
			for session, alive := range map[int64]bool{a: c.aliveA, b: c.aliveTwo} {
				var want error
				if !alive {
					want = store.ErrGone
				}
				_, err := s.Claim(ctx, store.Claim{Session: session, Now: c.now, Share: everything})
				wantError(t, err, want)
				_, err = s.Advance(ctx, session, c.now, 10, 1)
				wantError(t, err, want)
				_, err = s.Advance(ctx, session, c.now, 10, 0) // It claims nothing.
				wantError(t, err, nil)
			}
		}
	})

	t.Run("are over at the end of the lease, whether somebody says so or not", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		a := must(s.Beat(ctx, 0, second(0), lease))(t).Session
		_, err := s.Claim(ctx, store.Claim{Session: a, Now: second(59), Share: everything})
		wantError(t, err, nil)
		_, err = s.Claim(ctx, store.Claim{Session: a, Now: second(60), Share: everything})
		wantError(t, err, store.ErrGone)
		_, err = s.Claim(ctx, store.Claim{Session: a + 1, Now: second(0), Share: everything})
		wantError(t, err, store.ErrGone)
	})

	t.Run("never have the number of another", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		last := int64(0)
		for range 3 {
			session := must(s.Beat(ctx, 0, second(0), lease))(t).Session
			if session <= last {
				t.Errorf("session %d comes after %d", session, last)
			}
			check(t, s.Leave(ctx, session))
			check(t, s.Leave(ctx, session))
			last = session
		}
	})

	t.Run("that are over leave what they claimed to others", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		stalled := must(s.Beat(ctx, 0, second(0), lease))(t).Session
		check(t, discard(s.Beat(ctx, stalled, second(40), lease)))
		advance(t, s, at(1))
		f := claim(t, s, stalled, second(40))[0]

		other := must(s.Beat(ctx, 0, second(80), lease))(t)
		same(t, "released while the first lives", other.Released, 0)
		same(t, "claimed while the first lives", names(claim(t, s, other.Session, second(80))), []string(nil))
		other = must(s.Beat(ctx, other.Session, second(100), lease))(t)
		same(t, "released", other.Released, 1)
		same(t, "not settled yet by anybody", must(s.Settle(ctx, []schedule.Firing{launched(f, second(100))}))(t), 0)
		taken := claim(t, s, other.Session, second(100))
		same(t, "claimed", names(taken), []string{"a 12:01"})
		same(t, "tried", taken[0].Tried, true)
		same(t, "settled by the first, which comes back", must(s.Settle(ctx, []schedule.Firing{dead(f, second(101))}))(t), 0)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending"})
		settle(t, s, launched(taken[0], second(102)))
		same(t, "settled by the first after that", must(s.Settle(ctx, []schedule.Firing{dead(f, second(103))}))(t), 0)
		same(t, "ledger in the end", ledger(t, s, plan.Key), []string{"12:01 v1 launched"})
	})

	t.Run("that are over tell of launches that came through", func(t *testing.T) {
		for name, judged := range map[string]func(schedule.Firing) schedule.Firing{
			"dead": func(f schedule.Firing) schedule.Firing { return dead(f, second(101)) },
			"skipped": func(f schedule.Firing) schedule.Firing {
				f.Outcome, f.Reason, f.SettledAt = schedule.Skipped, "one runs", second(101)
				return f
			},
		} {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", spec("* * * * *"))
			stalled := must(s.Beat(ctx, 0, second(40), lease))(t).Session
			advance(t, s, at(1))
			f := claim(t, s, stalled, second(40))[0]
			other := must(s.Beat(ctx, 0, second(100), lease))(t)
			settle(t, s, judged(claim(t, s, other.Session, second(100))[0]))
			same(t, name, ledger(t, s, plan.Key), []string{"12:01 v1 " + name})
			same(t, name+", and retried by the first", must(s.Settle(ctx, []schedule.Firing{f}))(t), 0)
			settle(t, s, launched(f, second(102)))
			same(t, name+", and launched by the first", ledger(t, s, plan.Key), []string{"12:01 v1 launched"})
			same(t, "told again", must(s.Settle(ctx, []schedule.Firing{launched(f, second(103))}))(t), 0)
		}
	})

	t.Run("that leave release at once", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1))
		a, b := session(t, s), session(t, s)
		same(t, "claimed", len(claim(t, s, a, at(1))), 1)
		same(t, "claimed by another", len(claim(t, s, b, at(1))), 0)
		check(t, s.Leave(ctx, a))
		same(t, "claimed after it left", len(claim(t, s, b, at(1))), 1)
		_, err := s.Claim(ctx, store.Claim{Session: a, Now: at(1), Share: everything})
		wantError(t, err, store.ErrGone)
	})

	t.Run("from before the clock was set back are over", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1))
		ahead := noon.AddDate(0, 0, 7)
		gone := must(s.Beat(ctx, 0, ahead, lease))(t).Session
		renewed := must(s.Beat(ctx, 0, ahead, lease))(t).Session
		same(t, "claimed", len(claim(t, s, gone, at(1))), 1)
		b := must(s.Beat(ctx, renewed, at(2), lease))(t)
		same(t, "still the session that beats", b.Session, renewed)
		same(t, "released", b.Released, 1)
		same(t, "replicas", b.Replicas, 1)
	})

	t.Run("say since when somebody could fire", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpNone}})
		var session int64
		for _, c := range []struct {
			name       string
			now, since time.Time
		}{
			{"the first", second(0), noon},
			{"a minute later", second(60), noon},
			{"more than a minute later", second(121), second(121)},
			{"a moment later", second(122), second(121)},
			{"the clock is set back, but not before that", second(121), second(121)},
			{"the clock is set back before that", second(90), second(90)},
			{"a moment later", second(91), second(90)},
		} {
			b := must(s.Beat(ctx, session, c.now, time.Hour))(t)
			session = b.Session
			same(t, c.name, b.Since, c.since)
		}
		advance(t, s, second(150)) // 12:03; 12:01 and 12:02 were before 12:02:00.
		advance(t, s, at(5))       // Nobody beat for more than a minute.
		same(t, "ledger", ledger(t, s, plan.Key), []string{
			"12:01 v1 missed", "12:02 v1 pending", "12:03 v1 pending", "12:04 v1 missed", "12:05 v1 pending",
		})
	})
}

func discard[T any](_ T, err error) error { return err }
