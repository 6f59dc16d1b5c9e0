package store

import (
	"time"

	"tminus.dev/internal/ident"
)

// AlertKind is what is wrong with a schedule.
type AlertKind string

// The kinds of alerts, as they stand in the database.
const (
	// AlertLate says that a slot was launched later than the schedule's limit, or waits for longer.
	AlertLate AlertKind = "late"
	// AlertMissed says that slots came due while nothing could fire, and never launch.
	AlertMissed AlertKind = "missed"
	// AlertDead says that the launch of a slot was given up.
	AlertDead AlertKind = "dead"
	// AlertFailing says that executions failed in a row.
	AlertFailing AlertKind = "failing"
)

// AlertID names an alert: a schedule has at most one of each kind at a time.
type AlertID struct {
	// Schedule names the launch plan.
	Schedule ident.Key
	Kind     AlertKind
}

// Alert is one trouble of one schedule, from its beginning until people were told that it ended.
type Alert struct {
	AlertID
	// Slot is the latest slot in trouble.
	Slot time.Time
	// Lateness and Limit tell how late that slot is and how late it may be; zero unless Kind is AlertLate.
	Lateness, Limit time.Duration
	// Count is how many slots were missed since the alert began, or how many executions failed in a row; otherwise 0.
	Count int
	// Reason is one line for people; it may be empty.
	Reason string
	// Since is when the trouble was first seen.
	Since time.Time
	// EndedAt, EndSlot and EndReason tell when the trouble ended, which slot showed it, and why; zero while it lasts.
	// EndSlot is zero as well when no slot did.
	EndedAt, EndSlot time.Time
	EndReason        string
	// ChangedAt is when the beginning or the end was recorded, whichever is later, by the database's clock.
	ChangedAt time.Time
	// ToldAt is when people were last told of this alert; zero while they were not.
	ToldAt time.Time
	// Group is the key under which PagerDuty holds this alert and others that began with it; empty when it has its own.
	Group string
}

// Ended says that the trouble is over.
func (a Alert) Ended() bool { return !a.EndedAt.IsZero() }

// AlertBook is what an announcement is decided from.
type AlertBook struct {
	// Now is the database's clock.
	Now time.Time
	// ToldAt is when the last announcement was made, by any replica; zero when there was none.
	ToldAt time.Time
	// Alerts are those of which people should be told.
	Alerts []Alert
	// Groups is, for each Group that Alerts name, how many alerts are in it, these included.
	Groups map[string]int
}

// AlertChanges is what an announcement changes.
type AlertChanges struct {
	// Put holds alerts to store, each in the place of the one with its AlertID.
	Put []Alert
	// Drop names alerts that are over.
	Drop []AlertID
	// Messages are sent to their channels in this order.
	Messages []AlertMessage
}

// AlertMessage is what one channel is told.
type AlertMessage struct {
	// ID is unique, and the same on every attempt to send.
	ID string
	// Channel is where it goes, such as "slack".
	Channel string
	// Body is JSON, and the channel's business.
	Body []byte
	// Deadline is when a message that cannot be sent is given up.
	Deadline time.Time
}

// AlertClaim is the right to send a message, or how long there is none to send.
type AlertClaim struct {
	// Message is the channel's oldest, when Attempt is not 0.
	Message AlertMessage
	// Attempt counts the claims of the message from 1; 0 means that nothing is to be sent now.
	Attempt int
	// Left is how long it is to the message's deadline, by the database's clock; negative past it.
	Left time.Duration
	// Wait is how long it is until there may be a message; 0 means until one is recorded. Zero when Attempt is not.
	Wait time.Duration
}

// AlertReceipt says how an attempt to send ended.
type AlertReceipt struct {
	// ID and Attempt are as claimed.
	ID      string
	Attempt int
	Result  AlertResult
	// After is how long to wait before the next attempt, when Result is AlertRetry.
	After time.Duration
	// Error is what went wrong, without secrets; empty when Result is AlertSent.
	Error string
}

// AlertResult is how an attempt to send a message ended.
type AlertResult string

// The results, as they stand in the database.
const (
	AlertSent  AlertResult = "sent"
	AlertRetry AlertResult = "retry"
	AlertLost  AlertResult = "lost"
)
