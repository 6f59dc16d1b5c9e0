package store

import (
	"errors"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// Keeper is who keeps the time of the schedules on a database.
type Keeper string

// The keepers, as they stand in the database.
const (
	// KeeperLocal is the engine: slots are due by the database's clock.
	KeeperLocal Keeper = "local"
	// KeeperAWS is AWS: a slot is due when a message says so.
	KeeperAWS Keeper = "aws"
)

// ErrKept says that somebody else keeps time, for others that are at work, or were
// while who asks was not.
var ErrKept = errors.New("time is kept by another")

// Rule is what a keeper outside of tminus is to hold for a schedule, and what it holds.
type Rule struct {
	ScheduleID int64
	// Generation is the revision of the schedule that is to be held.
	Generation int
	// LaunchPlan is the version in force, Spec its schedule, Anchor the instant from which a rate counts.
	LaunchPlan ident.ID
	Spec       schedule.Spec
	Anchor     time.Time
	// Active says that the schedule fires some day, or would but for a pause; where it does not, nothing is to be held.
	Active bool
	// Paused says that it is to be held, and to send nothing.
	Paused bool
	// Held is what the keeper is known to hold, in words of its own; empty means nothing.
	Held string
	// Tried says that a change was begun, so that something else than Held may be there.
	Tried bool
	// Applied is the generation that the keeper holds; 0 means none was ever applied.
	Applied int
	// Attempts counts the failed ones since the last that did not fail, and Error is the last one's; empty means that it did not.
	Attempts int
	Error    string
	// DueAt is when it is applied, or tried again; zero means that nothing is to be done.
	DueAt time.Time
	// LeasedUntil is until when it is its claimer's; zero means that nobody is at it.
	LeasedUntil time.Time
	// ChangedAt is when Held, Applied or Error last changed.
	ChangedAt time.Time
}

// InStep says that the keeper holds what it is to hold, and no more.
func (r Rule) InStep() bool {
	return r.Applied == r.Generation && r.Error == "" && (r.Active || r.Held == "")
}

// Message is one that was taken from a keeper's queue: word that a schedule came due.
type Message struct {
	// ID is the queue's name for it, the same each time it is delivered.
	ID string
	// Body is the message as it was sent.
	Body []byte
	// SentAt is when it was put into the queue, and Receives how often it was taken out.
	SentAt   time.Time
	Receives int
	// LaunchPlan came due at Time. Both are zero where the message cannot be read.
	LaunchPlan ident.Key
	Time       time.Time
	// Problem says why it cannot be read; empty means that it can.
	Problem string
}

// Delivered is what messages came to. Each is counted once.
type Delivered struct {
	// Early are the places of messages about slots that have not come by the
	// database's clock: they stay in the queue, to be delivered again.
	Early []int
	// Recorded made firings of slots that had none.
	Recorded int
	// Known came to nothing: their slots were decided before, or are none by the schedule's policy.
	Known int
	// SetAside are among the dead letters.
	SetAside int
	// Dropped holds slots that were recorded as missed: rates turned out to count from another instant.
	Dropped []schedule.Firing
}

// DeadLetter is a message that launched nothing and that somebody should look at.
type DeadLetter struct {
	ID int64
	Message
	// Reason says why it launched nothing.
	Reason     string
	ReceivedAt time.Time
}
