package alert

import (
	"context"
	"time"

	"tminus.dev/internal/store"
)

// Store is where alerts and the messages about them are kept, shared by every
// replica; storetest.ExerciseAlerts holds a database to what is said here.
//
// Whatever is stored is on disk when a method returns. Times are in UTC, to the
// microsecond. "Now" is the database's clock, the one by which slots are due.
//
// AmendAlerts and AnnounceAlerts are transactions that run one at a time across
// all replicas: each takes the same lock before it reads, and calls the function
// it is given with what it read under that lock. An error, of the database
// or of ctx, means that nothing changed. That is all the comparing and setting
// there is: whoever comes second decides from what the first one wrote. The
// functions are pure and quick; they are called again only after what came of
// the call before was rolled back.
type Store interface {
	// OpenAlerts calls each for every alert that lasts, with its latest slot in
	// trouble, in no order; an alert that ended is not among them, told or not.
	OpenAlerts(ctx context.Context, each func(id store.AlertID, slot time.Time)) error

	// AmendAlerts reads those of the alerts named that there are, in no order,
	// and stores what amend returns: each in the place of the alert with its
	// AlertID, or as a new one. amend returns no alert twice, only alerts that
	// were named, and often none: then there is nothing to write. ids holds no
	// more than 500, none twice.
	AmendAlerts(ctx context.Context, ids []store.AlertID, amend func(now time.Time, found []store.Alert) []store.Alert) error

	// AnnounceAlerts reads up to limit alerts of which people should be told,
	// those with the earliest ChangedAt first: all whose ToldAt is zero, all that
	// ended and, when remind is not 0, those that last and whose ToldAt is not
	// after now - remind. It stores what announce returns, all in one
	// transaction, and sets the book's ToldAt to now unless that is nothing.
	AnnounceAlerts(ctx context.Context, remind time.Duration, limit int, announce func(store.AlertBook) store.AlertChanges) error

	// ClaimAlertMessage gives the caller the right to send the oldest message of
	// a channel that is not settled, for as long as lease says. Only the oldest
	// is ever given, so that messages arrive in the order in which they were
	// made: while it is claimed or waits for its next attempt, there is none to
	// send, and Wait says how long that lasts. A claim counts as an attempt. A
	// lease that ran out is as if the claim had ended without a receipt: the
	// message is given again, to anyone. Two callers never hold a message at the
	// same time. Every replica asks every few seconds: to answer that there is
	// none must be cheap and write nothing.
	ClaimAlertMessage(ctx context.Context, channel string, lease time.Duration) (store.AlertClaim, error)

	// SettleAlertMessage records how an attempt ended. AlertSent and AlertLost
	// settle the message; AlertRetry makes it due again after r.After. It answers
	// store.ErrNotFound, and changes nothing, unless the message is there, is not
	// settled and was not claimed again since: r.Attempt is the number of claims
	// so far. So a replica that stalled for longer than its lease cannot write.
	SettleAlertMessage(ctx context.Context, r store.AlertReceipt) error
}
