package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/store"
)

// announcer decides when people are told, and of what.
type announcer struct {
	name     string
	channels []string
	// wait is how long the first alert waits for others, interval the least time between two announcements.
	wait, interval time.Duration
	// giveUp is how long a message is tried, most how many alerts a section lists.
	giveUp time.Duration
	most   int
}

// announce decides what to tell of the alerts in b, in one notification with
// this id. When it is too early to tell, it changes nothing and says for how long that is so.
func (r announcer) announce(b store.AlertBook, id string) (changes store.AlertChanges, early time.Duration, err error) {
	if len(b.Alerts) == 0 {
		return store.AlertChanges{}, 0, nil
	}
	ready := r.ready(b)
	if ready.After(b.Now) {
		return store.AlertChanges{}, ready.Sub(b.Now), nil
	}
	var began, lasting, ended []store.Alert
	for _, a := range b.Alerts {
		if a.ToldAt.IsZero() {
			began = append(began, a)
		}
		switch {
		case a.Ended():
			ended = append(ended, a)
		case !a.ToldAt.IsZero():
			lasting = append(lasting, a)
		}
	}
	group := ""
	if len(began) > r.most {
		group = r.name + "/storm/" + id
	}
	for _, a := range b.Alerts {
		if a.Ended() {
			changes.Drop = append(changes.Drop, a.AlertID)
			continue
		}
		if a.ToldAt.IsZero() {
			a.Group = group
		}
		a.ToldAt = b.Now
		changes.Put = append(changes.Put, a)
	}
	m := outbox{announcer: r, id: id, now: b.Now}
	for _, channel := range r.channels {
		if channel == channelPagerDuty {
			m.incidents(b.Groups, group, began, lasting, ended)
		} else {
			m.add(channel, "", notification(id, r.name, b.Now, began, lasting, ended, r.most))
		}
	}
	changes.Messages = m.messages
	return changes, 0, m.err
}

// ready is when people may be told: the first change has waited for others, and
// the last announcement is long enough ago.
func (r announcer) ready(b store.AlertBook) time.Time {
	ready := b.Now.Add(r.wait)
	for _, a := range b.Alerts {
		changed := a.ChangedAt.Add(r.wait) // Long ago for a reminder.
		if changed.Before(ready) {
			ready = changed
		}
	}
	if next := b.ToldAt.Add(r.interval); !b.ToldAt.IsZero() && next.After(ready) {
		ready = next
	}
	return ready
}

// outbox collects messages.
type outbox struct {
	announcer
	id       string
	now      time.Time
	messages []store.AlertMessage
	err      error
}

func (m *outbox) add(channel, suffix string, body any) {
	content, err := json.Marshal(body)
	if err != nil {
		m.err = fmt.Errorf("message for %s: %w", channel, err)
		return
	}
	m.messages = append(m.messages, store.AlertMessage{
		ID: m.id + "-" + channel + suffix, Channel: channel, Body: content, Deadline: m.now.Add(m.giveUp),
	})
}

// incident is a message for PagerDuty: what becomes of one incident.
type incident struct {
	// Action is trigger or resolve.
	Action       string       `json:"action"`
	DedupKey     string       `json:"dedup_key"`
	Notification Notification `json:"notification"`
}

// incidents adds a message for each incident that changes: of an alert that
// began on its own, or of a group. groups counts the members that each had before.
func (m *outbox) incidents(groups map[string]int, group string, began, lasting, ended []store.Alert) {
	add := func(action, key string, began, lasting, ended []store.Alert) {
		n := notification(m.id, m.name, m.now, began, lasting, ended, m.most)
		m.add(channelPagerDuty, fmt.Sprint("-", len(m.messages)), incident{Action: action, DedupKey: key, Notification: n})
	}
	if group != "" {
		add("trigger", group, began, nil, nil)
	} else {
		for _, a := range began {
			add("trigger", m.dedupKey(a.AlertID), []store.Alert{a}, nil, nil)
		}
	}
	for _, g := range byGroup(lasting) {
		if key := g[0].Group; key != "" {
			add("trigger", key, nil, g, nil)
			continue
		}
		for _, a := range g {
			add("trigger", m.dedupKey(a.AlertID), nil, []store.Alert{a}, nil)
		}
	}
	for _, g := range byGroup(ended) {
		key := g[0].Group
		if key != "" {
			if groups[key] <= len(g) { // The last of them.
				add("resolve", key, nil, nil, g)
			}
			continue
		}
		inNew := 0 // alerts that began in the new group, and are over already
		for _, a := range g {
			if group != "" && a.ToldAt.IsZero() {
				inNew++
				continue
			}
			add("resolve", m.dedupKey(a.AlertID), nil, nil, []store.Alert{a})
		}
		if inNew > 0 && inNew == len(began) {
			add("resolve", group, nil, nil, began)
		}
	}
}

// byGroup splits alerts by their Group, in order.
func byGroup(alerts []store.Alert) [][]store.Alert {
	alerts = slices.SortedStableFunc(slices.Values(alerts), func(a, b store.Alert) int { return strings.Compare(a.Group, b.Group) })
	var groups [][]store.Alert
	for i, a := range alerts {
		if i == 0 || a.Group != alerts[i-1].Group {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], a)
	}
	return groups
}

// maxDedupKey is the longest dedup_key that PagerDuty takes, in characters.
const maxDedupKey = 255

// dedupKey is the name of an alert's incident at PagerDuty.
func (r announcer) dedupKey(id store.AlertID) string {
	key := fmt.Sprintf("%s/%s/%s", r.name, id.Kind, id.Schedule)
	if len(key) > maxDedupKey {
		sum := sha256.Sum256([]byte(key))
		key = "tminus/" + hex.EncodeToString(sum[:])
	}
	return key
}
