package engine

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Rate bounds how many launches are asked for in a second, of all replicas
// together: each takes an equal part. Zero means no limit.
type Rate struct {
	// PerSecond and Burst bound launches in total. A Burst of 0 means a second's worth, and at least one.
	PerSecond float64
	Burst     int
	// ProjectPerSecond and ProjectBurst bound those of each project.
	ProjectPerSecond float64
	ProjectBurst     int
}

// shaper deals out what may be launched, in equal parts to the projects that
// have something due, so that one's burst does not delay another's launches.
type shaper struct {
	rate Rate

	// mu is held from dealing until what was taken is known, or the two lanes
	// would spend the same tokens.
	mu       sync.Mutex
	replicas int
	total    *rate.Limiter
	projects map[string]*rate.Limiter
	turn     int // whose turn it is to get what cannot be divided
}

func newShaper(r Rate) *shaper {
	return &shaper{rate: r, replicas: 1, total: bucket(r.PerSecond, r.Burst, 1), projects: make(map[string]*rate.Limiter)}
}

// limits says whether there is any limit.
func (s *shaper) limits() bool { return s.rate.PerSecond > 0 || s.rate.ProjectPerSecond > 0 }

// bucket is one replica's part of a limit; nil means none.
func bucket(perSecond float64, burst, replicas int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	if burst == 0 {
		burst = int(math.Ceil(perSecond))
	}
	return rate.NewLimiter(rate.Limit(perSecond/float64(replicas)), max(1, burst/replicas))
}

// share sets how many replicas there are.
func (s *shaper) share(replicas int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if replicas = max(1, replicas); replicas == s.replicas {
		return
	}
	s.replicas = replicas
	resize := func(l *rate.Limiter, perSecond float64, burst int) {
		if l != nil {
			part := bucket(perSecond, burst, replicas)
			l.SetLimit(part.Limit())
			l.SetBurst(part.Burst())
		}
	}
	resize(s.total, s.rate.PerSecond, s.rate.Burst)
	for _, l := range s.projects {
		resize(l, s.rate.ProjectPerSecond, s.rate.ProjectBurst)
	}
}

// claim calls do with the share of each project, of at most so many launches,
// and spends what do took. wait is how long until something may be launched
// again if the limit was met, zero if it was not.
func (s *shaper) claim(most int, do func(share func(projects []string) []int) (store.Claimed, error)) (claimed store.Claimed, wait time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claimed, err = do(func(projects []string) []int {
		var shares []int
		shares, wait = s.deal(projects, most)
		return shares
	})
	if err != nil {
		return claimed, 0, err
	}
	s.spend(claimed.Launch)
	return claimed, wait, nil
}

func (s *shaper) deal(projects []string, most int) (shares []int, wait time.Duration) {
	shares = make([]int, len(projects))
	left := min(most, tokens(s.total))
	if left == 0 {
		return shares, refill(s.total)
	}
	caps := make([]int, len(projects))
	for i, p := range projects {
		caps[i] = tokens(s.project(p))
		if caps[i] == 0 {
			wait = max(wait, refill(s.project(p)))
		}
	}
	s.turn++
	for given := true; given && left > 0; {
		given = false
		part := max(1, left/len(projects))
		for n := range projects {
			i := (n + s.turn) % len(projects)
			more := min(part, caps[i]-shares[i], left)
			shares[i] += more
			left -= more
			given = given || more > 0
		}
	}
	return shares, wait
}

func (s *shaper) project(name string) *rate.Limiter {
	l, known := s.projects[name]
	if !known {
		l = bucket(s.rate.ProjectPerSecond, s.rate.ProjectBurst, s.replicas)
		s.projects[name] = l
	}
	return l
}

// spend takes the tokens of launches.
func (s *shaper) spend(fs []schedule.Firing) {
	if len(fs) == 0 || !s.limits() {
		return
	}
	now := time.Now()
	byProject := make(map[string]int)
	for i := range fs {
		byProject[fs[i].LaunchPlan.Project]++
	}
	if s.total != nil {
		s.total.AllowN(now, len(fs))
	}
	for name, n := range byProject {
		if l := s.project(name); l != nil {
			l.AllowN(now, n)
		}
	}
}

// tokens is how many launches l lets through at present.
func tokens(l *rate.Limiter) int {
	if l == nil {
		return math.MaxInt
	}
	return max(0, int(l.Tokens()))
}

// refill is how long it takes until l lets one through.
func refill(l *rate.Limiter) time.Duration {
	if l == nil {
		return 0
	}
	lacks := 1 - l.Tokens()
	return max(time.Millisecond, time.Duration(lacks/float64(l.Limit())*float64(time.Second)))
}
