package server

import (
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// calendars finds the calendars that launch plans exclude, as they are now.
func (s *Server) calendars(ctx context.Context) launchplan.Calendars {
	return func(name string) (schedule.Calendar, error) {
		c, err := s.store.Calendar(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			err = schedule.NoCalendar(name)
		}
		return c.Calendar, err
	}
}

// PutCalendar stores a calendar, and changes the schedules that exclude it.
func (s *schedules) PutCalendar(ctx context.Context, r *tminusv1.PutCalendarRequest) (*tminusv1.PutCalendarResponse, error) {
	dates := make([]time.Time, len(r.GetDates()))
	for i, text := range r.GetDates() {
		var err error
		if dates[i], err = time.Parse(time.DateOnly, text); err != nil {
			return nil, invalid.Field("dates", "%q: use a date such as 2026-12-25", short(text, 40))
		}
	}
	cal, err := schedule.NewCalendar(r.GetName(), dates)
	if err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	changed, err := s.store.PutCalendar(ctx, cal, c)
	s.engine.Wake() // Some schedules may have changed even then.
	if err != nil {
		return nil, err
	}
	m, err := s.calendar(ctx, cal.Name)
	return &tminusv1.PutCalendarResponse{Calendar: m, Schedules: uint32(min(changed, math.MaxInt32))}, err //nolint:gosec // Bounded in the line.
}

// calendar is one calendar, with its days.
func (s *Server) calendar(ctx context.Context, name string) (*tminusv1.Calendar, error) {
	c, err := s.store.Calendar(ctx, name)
	if err != nil {
		return nil, noSuchCalendar(name, err)
	}
	m := wireCalendar(c)
	for _, date := range c.Dates() {
		m.Dates = append(m.Dates, date.Format(time.DateOnly))
	}
	return m, nil
}

// noSuchCalendar says of store.ErrNotFound what is not there.
func noSuchCalendar(name string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("name: there is no calendar %q", short(name, 60))
	}
	return err
}

// wireCalendar is a calendar without its days.
func wireCalendar(c store.Calendar) *tminusv1.Calendar {
	m := &tminusv1.Calendar{
		Name: c.Name, Days: uint32(len(c.Days)), By: c.By, Reason: c.Why, UpdatedAt: instant(c.UpdatedAt), //nolint:gosec // At most schedule.MaxCalendarDays.
	}
	if dates := c.Dates(); len(dates) > 0 {
		m.First, m.Last = dates[0].Format(time.DateOnly), dates[len(dates)-1].Format(time.DateOnly)
	}
	return m
}

// GetCalendar shows one calendar.
func (s *schedules) GetCalendar(ctx context.Context, r *tminusv1.GetCalendarRequest) (*tminusv1.GetCalendarResponse, error) {
	m, err := s.calendar(ctx, r.GetName())
	return &tminusv1.GetCalendarResponse{Calendar: m}, err
}

// ListCalendars lists calendars by name.
func (s *schedules) ListCalendars(ctx context.Context, r *tminusv1.ListCalendarsRequest) (*tminusv1.ListCalendarsResponse, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	list, token, err := page(ctx, q, s.store.Calendars, func(c store.Calendar) (*tminusv1.Calendar, error) { return wireCalendar(c), nil })
	return &tminusv1.ListCalendarsResponse{Calendars: list, Token: token}, err
}

// DeleteCalendar removes a calendar that no active schedule excludes.
func (s *schedules) DeleteCalendar(ctx context.Context, r *tminusv1.DeleteCalendarRequest) (*tminusv1.DeleteCalendarResponse, error) {
	err := s.store.DeleteCalendar(ctx, r.GetName())
	if used, ok := errors.AsType[*store.CalendarInUseError](err); ok {
		return nil, status.Errorf(codes.FailedPrecondition,
			"calendar %s is excluded by the active schedule of %s; activate a version that does not name it, or deactivate it, first", used.Calendar, used.By)
	}
	if err != nil {
		return nil, noSuchCalendar(r.GetName(), err)
	}
	return &tminusv1.DeleteCalendarResponse{}, nil
}
