package flyte

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tminus.dev/internal/schedule"
)

// pace decides how many calls are in flight to a flyteadmin. More than it works
// on at once wait there, and work for callers that have given up is lost: so it
// begins with few, adds while answers do not take longer for it, and takes away
// when they do. While nobody answers it lets one call try, now and then.
//
// The measure is that of TCP Vegas: of n calls in flight which take t each, where
// one takes t0 at an idle server, n(1 - t0/t) are waiting; but for a difference so
// small that it may come of anything.
type pace struct {
	most int // in flight, ever

	mu       sync.Mutex
	limit    float64
	inFlight int
	waiting  [2][]chan struct{} // live ones and those behind, the first first
	starting bool               // nothing has ever waited at the server: the limit doubles

	// The answers since the limit was last looked at.
	answers int
	took    time.Duration
	reached bool // the limit was reached
	stale   bool // some of them began under another limit

	idle     time.Duration // how long an answer takes at an idle server, as far as is known
	measure  time.Time     // when to find out again
	measured float64       // the limit to go back to from that; 0 while it is not done

	// lost counts calls in a row that nobody answered, or only to say that there is too much.
	lost    int
	shut    time.Time // until when nobody is to call; zero while all may
	pause   time.Duration
	problem string
	// suspect says that answers may mean nothing: see hold.
	suspect bool
}

// The calls in flight at first, and what is known of waiting at the server.
const (
	firstLimit = 4
	// fewWaiting and manyWaiting are how many calls may wait at the server: with
	// fewer there may be room for more, with more there is too much.
	fewWaiting  = 1.5
	manyWaiting = 4
	// noise is by how much longer answers may take than from an idle server before
	// that means anything: a tenth of 20 ms would keep more than 15 from being in flight.
	noise = 2 * time.Millisecond
	// window is the least number of answers after which the limit is looked at.
	window = 10
	// measureEvery is how often an idle server is measured again, at a quarter of the limit.
	measureEvery = 30 * time.Second
	// breath is how long the calls that are asked for at once take together: soon
	// those have their turn that come due meanwhile.
	breath = 800 * time.Millisecond
	// shutAfter is how many calls in a row nobody answers before most are held back.
	shutAfter = 3
	// The pause between two attempts to reach a server that does not answer doubles from the first to the last.
	firstShut = time.Second
	lastShut  = 30 * time.Second
)

func newPace(most int) *pace {
	return &pace{most: most, limit: min(firstLimit, float64(most)), starting: true}
}

// room is how many calls can be made in about a breath; while there are none to
// be made, wait is for how long.
func (p *pace) room() (calls int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.shut.IsZero():
	case p.inFlight > 0:
		return 0, firstShut
	default:
		if wait := time.Until(p.shut); wait > 0 {
			return 0, wait
		}
		return 1, 0
	}
	calls = int(p.limit)
	if p.idle > 0 {
		calls = max(calls, int(p.limit*float64(breath)/float64(p.idle)))
	}
	return calls, 0
}

// why says why most calls are held back; empty means that they are not.
func (p *pace) why() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut.IsZero() {
		return ""
	}
	return p.problem
}

// enter waits until a call may be made. An error, which wraps schedule.ErrHeld, means that none may.
func (p *pace) enter(ctx context.Context, behind bool) error {
	p.mu.Lock()
	if err := p.closed(); err != nil {
		p.mu.Unlock()
		return err
	}
	if p.free() && len(p.waiting[0])+len(p.waiting[1]) == 0 {
		p.inFlight++
		p.mu.Unlock()
		return nil
	}
	p.reached = true
	turn, queue := make(chan struct{}), 0
	if behind {
		queue = 1
	}
	p.waiting[queue] = append(p.waiting[queue], turn)
	p.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, c := range p.waiting[queue] {
			if c == turn {
				p.waiting[queue] = append(p.waiting[queue][:i:i], p.waiting[queue][i+1:]...)
				return fmt.Errorf("%w: %w", schedule.ErrHeld, context.Cause(ctx))
			}
		}
		return nil // It was its turn at that moment.
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.closed(); err != nil {
		p.inFlight--
		p.admit()
		return err
	}
	return nil
}

// closed says why no call may be made.
func (p *pace) closed() error {
	if p.shut.IsZero() || (p.inFlight == 0 && !time.Now().Before(p.shut)) {
		return nil
	}
	return fmt.Errorf("%w: %s", schedule.ErrHeld, p.problem)
}

func (p *pace) free() bool { return p.inFlight < max(1, int(p.limit)) }

// admit lets those call whose turn it is.
func (p *pace) admit() {
	for q := range p.waiting {
		for len(p.waiting[q]) > 0 && (p.free() || !p.shut.IsZero()) {
			p.inFlight++
			close(p.waiting[q][0])
			p.waiting[q] = p.waiting[q][1:]
		}
	}
}

// leave ends a call that was answered. Refusals come quicker than anything else,
// and tell nothing of how fast the server is: they do not count.
func (p *pace) leave(began time.Time, counts bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight--
	p.lost, p.pause = 0, 0
	p.shut, p.problem, p.suspect = time.Time{}, "", false
	if counts {
		p.answers++
		p.took += time.Since(began)
	}
	if p.answers >= max(window, int(p.limit)) {
		p.look()
	}
	p.admit()
}

// fail ends a call that nobody answered, or only to say that there is too much.
func (p *pace) fail(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight--
	p.lost++
	if !p.stale { // Once for all that were in flight.
		p.limit = max(1, p.limit/2)
		p.starting, p.measured = false, 0
		p.forget(true)
	}
	if p.lost >= shutAfter || !p.shut.IsZero() {
		p.close(problem)
	}
	p.admit()
}

// hold is to be called when it turns out that what was answered did not come to
// anything. From then on each answer has to be looked into before leave is called for it.
func (p *pace) hold(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.suspect = true
	p.close(problem)
	p.admit()
}

// close lets nobody call for a while.
func (p *pace) close(problem string) {
	now := time.Now()
	if now.Before(p.shut) {
		return
	}
	p.pause = min(max(2*p.pause, firstShut), lastShut)
	p.shut, p.problem = now.Add(p.pause), problem
	p.limit, p.starting = min(firstLimit, float64(p.most)), true
}

// doubts says that answers are to be looked into.
func (p *pace) doubts() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.suspect
}

// forget begins to count answers anew; stale says that some that come began under another limit.
func (p *pace) forget(stale bool) { p.answers, p.took, p.reached, p.stale = 0, 0, false, stale }

// look sets the limit by the answers that came.
func (p *pace) look() {
	if p.stale {
		p.forget(false)
		return
	}
	each := p.took / time.Duration(p.answers)
	now := time.Now()
	if p.measured > 0 {
		p.idle, p.limit, p.measured = each, p.measured, 0
		p.forget(true)
		return
	}
	if p.idle == 0 || each < p.idle {
		p.idle = each
	}
	if p.measure.IsZero() {
		p.measure = now.Add(measureEvery)
	}
	waiting := p.limit * float64(max(0, each-p.idle-noise)) / float64(max(each, 1))
	before := p.limit
	switch {
	case now.After(p.measure) && !p.starting:
		p.measure, p.measured = now.Add(measureEvery), p.limit
		p.limit = max(1, p.limit/4)
	case waiting > manyWaiting:
		p.starting = false
		p.limit = max(1, p.limit-max(1, p.limit/8))
	case p.reached && waiting < fewWaiting && p.starting:
		p.limit = min(2*p.limit, float64(p.most))
	case p.reached && waiting < fewWaiting:
		p.limit = min(p.limit+1, float64(p.most))
	case waiting > fewWaiting:
		p.starting = false
	}
	p.forget(p.limit != before)
}
