package server

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/store"
)

type alerts struct {
	*Server
	tminusv1.UnimplementedAlertServiceServer
}

// ListAlerts lists the alerts that there are, newest first.
func (s *alerts) ListAlerts(ctx context.Context, r *tminusv1.ListAlertsRequest) (*tminusv1.ListAlertsResponse, error) {
	q, err := s.planQuery(ctx, r)
	if err != nil {
		return nil, err
	}
	list, token, err := page(ctx, q, s.store.Alerts, wireAlert)
	return &tminusv1.ListAlertsResponse{Alerts: list, Token: token}, err
}

func wireAlert(a store.Alert) (*tminusv1.Alert, error) {
	m := &tminusv1.Alert{
		Project: a.Schedule.Project, Domain: a.Schedule.Domain, Name: a.Schedule.Name, Kind: string(a.Kind),
		Slot: instant(a.Slot), Count: int64(a.Count), Reason: a.Reason,
		Since: instant(a.Since), EndedAt: instant(a.EndedAt), ToldAt: instant(a.ToldAt),
	}
	if a.Kind == store.AlertLate {
		m.Lateness, m.Limit = durationpb.New(a.Lateness), durationpb.New(a.Limit)
	}
	return m, nil
}

// TestAlerts sends a message through every channel.
func (s *alerts) TestAlerts(ctx context.Context, _ *tminusv1.TestAlertsRequest) (*tminusv1.TestAlertsResponse, error) {
	answer := &tminusv1.TestAlertsResponse{}
	if s.cfg.TestAlerts == nil {
		return answer, nil
	}
	tried := s.cfg.TestAlerts(ctx)
	for _, channel := range slices.Sorted(maps.Keys(tried)) {
		c := &tminusv1.ChannelTest{Channel: channel}
		if err := tried[channel]; err != nil {
			c.Error = err.Error()
		}
		answer.Channels = append(answer.Channels, c)
	}
	return answer, nil
}
