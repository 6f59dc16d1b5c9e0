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
// The round trips stand for the queries of pkg/manager/impl/execution_manager.go, all of which take about as long.
type Load struct {
	// PerSecond is how many calls a second are served. 0 is no limit.
	PerSecond float64
	// Workers is how many callers the server does best with. 0 is 8.
	Workers int
	// Crowded is how many calls a second are served when there are four times as many callers as Workers, or more; between
	// the two it falls evenly. 0 is as many as PerSecond.
	Crowded float64
	// Connections is how many connections to its database flyteadmin opens at most: 100 unless it is configured otherwise
	// (flytestdlib/database/config.go). A round trip takes one, and the last of CreateExecution two: it holds one for its
	// transaction while it waits for another, as what is done in the transaction is not done on its connection
	// (pkg/repositories/gormimpl/execution_repo.go). So as many launches as there are connections wait for each other, and everybody
	// else for them, until their callers' deadlines. 0 is no limit.
	Connections int
}

// trips is how many round trips a call is.
const trips = 8

// crowd is how many times its workers a server is crowded with.
const crowd = 4

type load struct {
	Load
	workers     chan time.Time // One for each that is free: when it was done. Those who wait are served in turn.
	connections semaphore      // Nil without a limit.

	mu      sync.Mutex
	callers int
}

// A semaphore is taken by sending and given back by receiving. Those who wait are served in turn, as Go's channels are fair.
type semaphore chan struct{}

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
	out := &load{Load: l, workers: make(chan time.Time, l.Workers)}
	for range l.Workers {
		out.workers <- time.Time{}
	}
	if l.Connections > 0 {
		out.connections = make(semaphore, l.Connections)
	}
	return out
}

// serve works at one call, until it is done or the server ends, or until the caller is gone while it waits for a connection:
// database/sql gives up then.
func (l *load) serve(ctx, life context.Context, method string) {
	l.count(1)
	defer l.count(-1)
	for i := range trips {
		connections := 1
		if i == trips-1 && method == "CreateExecution" {
			connections = 2
		}
		if !l.trip(ctx, life, connections) {
			return
		}
	}
}

// trip is one round trip. It says whether there was one.
func (l *load) trip(ctx, life context.Context, connections int) bool {
	if l.connections != nil {
		for range connections {
			if !l.connections.take(ctx, life) {
				return false
			}
			defer l.connections.give()
		}
	}
	return l.work(life)
}

// work has one worker at a trip. One that was waited for begins when it is done with
// the one before, so that timers which come late on a busy machine make nothing slower.
func (l *load) work(life context.Context) bool {
	begin := time.Now()
	select {
	case <-l.workers:
	default:
		select {
		case begin = <-l.workers:
		case <-life.Done():
			return false
		}
	}
	end := begin.Add(l.takes())
	defer func() { l.workers <- end }()
	pause(life, time.Until(end))
	return true
}

// take waits for its turn, unless one of the two is over before.
func (s semaphore) take(ctx, life context.Context) bool {
	select {
	case s <- struct{}{}: // At once, whatever else is so.
		return true
	default:
	}
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-life.Done():
	}
	return false
}

func (s semaphore) give() { <-s }

func (l *load) count(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callers += n
}

// takes is how long a round trip takes with as many callers as there are.
func (l *load) takes() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := float64(l.callers-l.Workers) / float64((crowd-1)*l.Workers)
	perSecond := l.PerSecond + min(1, max(0, over))*(l.Crowded-l.PerSecond)
	return time.Duration(float64(l.Workers) / perSecond / trips * float64(time.Second))
}
