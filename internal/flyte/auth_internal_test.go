package flyte

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"
)

// mint makes tokens of an hour, in a second each.
type mint struct {
	made    atomic.Int32
	failure atomic.Pointer[error]
}

func (m *mint) fetch(ctx context.Context, _ *credential) (*credential, error) {
	m.made.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if sent, ok := metadata.FromOutgoingContext(ctx); ok && len(sent) > 0 {
		return nil, fmt.Errorf("%v goes to the token endpoint", sent)
	}
	if err := m.failure.Load(); err != nil {
		return nil, *err
	}
	now := time.Now()
	return newCredential("authorization", "Bearer x", now, now.Add(time.Hour), 5*time.Minute), nil
}

func (m *mint) tokens() *tokens {
	return &tokens{fetch: m.fetch, most: 8 * time.Second, log: slog.New(slog.DiscardHandler)}
}

func TestATokenIsRenewedBeforeItsEndWhileCallsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		tokens := m.tokens()
		if c, err := tokens.get(t.Context()); c != nil || err != nil {
			t.Fatalf("nobody asked for a token, and there is %v, %v", c, err)
		}
		if _, err := tokens.next(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for range 24 * 60 * 2 {
			time.Sleep(30 * time.Second)
			now := time.Now()
			c, err := tokens.get(t.Context())
			if err != nil || c.over(now) {
				t.Fatalf("got %v, %v", c, err)
			}
			if waited := time.Since(now); waited != 0 {
				t.Fatalf("a call waited %s", waited)
			}
		}
		// Renewed 5 to 6.25 minutes before the end of an hour, as far as half a minute can tell.
		if got := m.made.Load(); got < 25 || got > 28 {
			t.Errorf("got %d tokens in a day", got)
		}
	})
}

func TestAThousandCallersWithATokenThatIsOverFetchOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		tokens := m.tokens()
		if _, err := tokens.next(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if c, err := tokens.get(t.Context()); err != nil || c.over(time.Now()) {
					t.Errorf("got %v, %v", c, err)
				}
			})
		}
		all.Wait()
		if got := m.made.Load(); got != 2 {
			t.Errorf("got %d tokens", got)
		}
	})
}

func TestATokenServesToItsEndWhenItCannotBeRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		tokens := m.tokens()
		first, err := tokens.next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		down := errors.New("down")
		m.failure.Store(&down)
		for time.Until(first.end) > time.Second {
			if c, err := tokens.get(t.Context()); c != first || err != nil {
				t.Fatalf("got %v, %v", c, err)
			}
			time.Sleep(time.Second)
		}
		// Not one for each of the calls: the pauses between attempts double, up to 8 to 10 s.
		if got := m.made.Load(); got < 10 || got > 60 {
			t.Errorf("it was tried %d times", got)
		}
		time.Sleep(2 * time.Second)
		if _, err := tokens.get(t.Context()); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
		m.failure.Store(nil)
		time.Sleep(11 * time.Second)
		if c, err := tokens.get(t.Context()); err != nil || c.over(time.Now()) {
			t.Errorf("got %v, %v", c, err)
		}
	})
}

func TestACallerThatGivesUpStopsNobodyElsesToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		tokens := m.tokens()
		hasty, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "of", "the call"), time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := tokens.next(hasty, nil); err == nil || !strings.Contains(err.Error(), "DeadlineExceeded") {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if c, err := tokens.next(t.Context(), nil); c == nil || err != nil {
				t.Errorf("got %v, %v", c, err)
			}
		})
		all.Wait()
		if got := m.made.Load(); got != 1 {
			t.Errorf("got %d tokens", got)
		}
	})
}

func TestACallerThatComesLateGetsTheTokenThatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		tokens := m.tokens()
		var last *credential
		for range 3 {
			refused := last
			for range 2 {
				c, err := tokens.next(t.Context(), refused)
				if err != nil || c == refused {
					t.Fatalf("got %v, %v", c, err)
				}
				last = c
			}
		}
		if got := m.made.Load(); got != 3 {
			t.Errorf("got %d tokens", got)
		}
	})
}

func TestPausesAreLongWhileItFailsAndShortOnceItWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		tokens := m.tokens()
		down := errors.New("down")
		// pause is how long it takes until it is tried again.
		pause := func(refused *credential) time.Duration {
			t.Helper()
			made, since := m.made.Load(), time.Now()
			for m.made.Load() == made {
				time.Sleep(10 * time.Millisecond)
				if _, err := tokens.next(t.Context(), refused); !errors.Is(err, down) {
					t.Fatalf("got %v", err)
				}
			}
			return time.Since(since) - time.Second // It takes a second itself.
		}
		m.failure.Store(&down)
		if _, err := tokens.next(t.Context(), nil); !errors.Is(err, down) {
			t.Fatalf("got %v", err)
		}
		within := func(got, least time.Duration) {
			t.Helper()
			if most := least + least/4 + 20*time.Millisecond; got < least || got > most {
				t.Errorf("the pause was %s, want %s to %s", got, least, most)
			}
		}
		for _, seconds := range []int{1, 2, 4, 8, 8, 8} {
			within(pause(nil), time.Duration(seconds)*time.Second)
		}
		m.failure.Store(nil)
		time.Sleep(10 * time.Second)
		c, err := tokens.next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		tokens.took(c)
		m.failure.Store(&down)
		if _, err := tokens.next(t.Context(), c); !errors.Is(err, down) {
			t.Fatalf("got %v", err)
		}
		within(pause(c), time.Second)
	})
}

func TestATokenIsNotRenewedInItsFirstHalf(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		life, grace, least, most time.Duration
	}{
		{time.Hour, 5 * time.Minute, time.Hour - 375*time.Second, 55 * time.Minute},
		{time.Hour, 0, time.Hour - 12500*time.Millisecond, time.Hour - 10*time.Second},
		{5 * time.Minute, 5 * time.Minute, 150 * time.Second, 150 * time.Second},
		{time.Second, 0, time.Second / 2, time.Second / 2},
		{-time.Hour, 0, -time.Hour, -time.Hour},
	} {
		for range 100 {
			got := newCredential("", "", now, now.Add(tc.life), tc.grace).renew.Sub(now)
			if got < tc.least || got > tc.most {
				t.Fatalf("a token of %s with %s of grace is renewed after %s, want %s to %s", tc.life, tc.grace, got, tc.least, tc.most)
			}
		}
	}
}

func TestTheEndThatAJWTClaims(t *testing.T) {
	for token, want := range map[string]int64{
		"e30.eyJleHAiOjE3MDAwMDAwMDB9.x":        1700000000, // {"exp":1700000000}
		"e30.eyJleHAiOjE3MDAwMDAwMDAuNzV9.x":    1700000000, // {"exp":1700000000.75}
		"e30.e30.x":                             0,
		"e30.eyJleHAiOiJzb29uIn0.x":             0, // {"exp":"soon"}
		"e30.eyJleHAiOi0xfQ.x":                  0, // {"exp":-1}
		"e30.eyJleHAiOjFlMzAwfQ.x":              0, // {"exp":1e300}
		"opaque":                                0,
		"a.b":                                   0,
		"a.!.c":                                 0,
		"":                                      0,
		"e30.eyJleHAiOjE3MDAwMDAwMDB9.x.y.even": 0,
	} {
		got := claimedEnd(token)
		if want == 0 && !got.IsZero() || want != 0 && got.Unix() != want {
			t.Errorf("%s: got %v, want %d", token, got, want)
		}
	}
}
