package flytetest

import (
	"context"
	"sync"
	"time"
)

// A Load is a model of how much a flyteadmin can do, and of how it breaks down. A call is some round trips to a database;
// at most Workers are under way, and those that wait are taken in turn. So all calls that are under way advance together, and
// with more of them each takes longer. Nothing bounds how many there are: flyteadmin takes up what comes. What was
// begun for a caller that has gone is worked at to the end, and nothing comes of it.
//
// That is enough for the collapse that real ones show. If more calls come at once than can be served within the callers'
// deadline, none of them is served in time; and callers that try again then add to work that is already for nothing.
// As few callers as there are workers keep the server busy, and lose nothing.
//
// In a real one the round trips are the queries of pkg/manager/impl/execution_manager.go and the Kubernetes client's limit, and the worst
// is the last: CreateExecution holds one database connection for its transaction while it waits for another
// (pkg/repositories/gormimpl/execution_repo.go), of which there are 100 (flytestdlib/database/config.go).
type Load struct {
	// PerSecond is how many calls a second are served. 0 is no limit.
	PerSecond float64
	// Workers is how many callers the server does best with. 0 is 8.
	Workers int
	// Crowded is how many calls a second are served when there are four times as many callers as Workers, or more; between
	// the two it falls evenly. 0 is as many as PerSecond.
	Crowded float64
}

// trips is how many round trips a call is.
const trips = 8

// crowd is how many times its workers a server is crowded with.
const crowd = 4

type load struct {
	Load
	workers chan struct{}

	mu      sync.Mutex
	callers int
}

func newLoad(l Load) *load {
	if l.PerSecond <= 0 {
		return nil
	}
	if l.Workers <= 0 {
		l.Workers = 8
	}
	if l.Crowded <= 0 {
		l.Crowded = l.PerSecond
	}
	return &load{Load: l, workers: make(chan struct{}, l.Workers)}
}

// serve works at one call, until it is done or the server ends.
func (l *load) serve(life context.Context) {
	l.count(1)
	defer l.count(-1)
	for range trips {
		select {
		case l.workers <- struct{}{}: // In turn: Go's channels are fair.
		case <-life.Done():
			return
		}
		pause(life, l.trip())
		<-l.workers
	}
}

func (l *load) count(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callers += n
}

// trip is how long a round trip takes with as many callers as there are.
func (l *load) trip() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := float64(l.callers-l.Workers) / float64((crowd-1)*l.Workers)
	perSecond := l.PerSecond + min(1, max(0, over))*(l.Crowded-l.PerSecond)
	return time.Duration(float64(l.Workers) / perSecond / trips * float64(time.Second))
}
