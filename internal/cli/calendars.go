package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/calendar"
)

func (c *client) calendarsCommand() *cobra.Command {
	cmd := Group("calendars", "Keep the calendars whose days schedules leave out",
		`Keep the calendars whose days schedules leave out: a launch plan whose annotation tminus.dev/exclude, or whose manifest's exclude, names
a calendar has no slots on its days, in the zone of its schedule. Calendars are for all projects and domains.`,
		c.calendarsPutCommand(), c.calendarsListCommand(), c.calendarsShowCommand(), c.calendarsDeleteCommand())
	cmd.Aliases = []string{"calendar"}
	return cmd
}

func (c *client) calendarsPutCommand() *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use:   "put NAME --file FILE",
		Short: "Store a calendar, or change it and the active schedules that exclude it",
		Long: `Store the days of a file as a calendar. The file is an iCalendar file (.ics), or YAML: a list of dates (2026-12-25) and ranges
(2026-12-24/2026-12-31), or names with such lists, of which calendars.yaml#nyse picks one.

If the calendar is there, its days are replaced, and the active schedules that exclude it have the new ones from now on: each gets a
revision, which is in its history. No slot of the past launches because of it.`,
		Example: `  tminus calendars put us-holidays --file holidays.ics
  tminus calendars put nyse --file calendars.yaml#nyse --reason 'the exchange has announced 2027'`,
		Args:              Exactly("NAME"),
		ValidArgsFunction: c.completer(c.calendarNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return misused(cmd, "--file is missing: give an .ics, .yaml or .yml file with the days")
			}
			days, err := calendar.Find(file)
			if err != nil {
				return err
			}
			request := &tminusv1.PutCalendarRequest{Name: args[0], Reason: reason}
			for date := range days.Dates() {
				request.Dates = append(request.Dates, date.Format(time.DateOnly))
			}
			return c.with(func(s *connection) error {
				answer, err := s.schedules.PutCalendar(cmd.Context(), request)
				if err != nil {
					return err
				}
				return c.format.print(cmd, answer, func(w io.Writer) {
					line(w, "%s has %s; %s changed", args[0], calendarDays(answer.GetCalendar()), counted(int64(answer.GetSchedules()), "active schedule"))
				})
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with the days: .ics, .yaml or .yml")
	reasonFlag(cmd, &reason)
	return cmd
}

// calendarDays says how many days a calendar has, and from when to when.
func calendarDays(m *tminusv1.Calendar) string {
	if m.GetDays() == 1 {
		return "1 day, " + m.GetFirst()
	}
	return fmt.Sprintf("%d days, from %s to %s", m.GetDays(), m.GetFirst(), m.GetLast())
}

func (c *client) calendarsListCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List calendars",
		Example: "  tminus calendars list",
		Args:    Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(func(s *connection) error {
				list, err := s.calendars(cmd.Context(), limit)
				if err != nil {
					return err
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "NAME", "DAYS", "FIRST", "LAST", "CHANGED", "BY", "REASON")
					for _, m := range list.GetCalendars() {
						row(w, m.GetName(), strconv.FormatUint(uint64(m.GetDays()), 10), m.GetFirst(), m.GetLast(), stamp(m.GetUpdatedAt()), m.GetBy(), m.GetReason())
					}
				})
			})
		},
	}
	limitFlag(cmd, &limit, 50)
	return cmd
}

// calendars lists calendars, limit at most; 0 means all.
func (s *connection) calendars(ctx context.Context, limit int) (*tminusv1.ListCalendarsResponse, error) {
	list := &tminusv1.ListCalendarsResponse{}
	err := pages(limit, func(size uint32, token string) (int, string, error) {
		page, err := s.schedules.ListCalendars(ctx, &tminusv1.ListCalendarsRequest{Limit: size, Token: token})
		list.Calendars = append(list.Calendars, page.GetCalendars()...)
		return len(page.GetCalendars()), page.GetToken(), err
	})
	return list, err
}

func (c *client) calendarNames(ctx context.Context, s *connection) ([]string, error) {
	list, err := s.calendars(ctx, 0)
	var names []string
	for _, m := range list.GetCalendars() {
		names = append(names, m.GetName())
	}
	return names, err
}

func (c *client) calendarsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Print the days of a calendar, one a line",
		Example:           "  tminus calendars show us-holidays",
		Args:              Exactly("NAME"),
		ValidArgsFunction: c.completer(c.calendarNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				answer, err := s.schedules.GetCalendar(cmd.Context(), &tminusv1.GetCalendarRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return c.format.print(cmd, answer.GetCalendar(), func(w io.Writer) {
					for _, date := range answer.GetCalendar().GetDates() {
						line(w, "%s", date)
					}
				})
			})
		},
	}
}

func (c *client) calendarsDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a calendar that no active schedule excludes",
		Example:           "  tminus calendars delete us-holidays",
		Args:              Exactly("NAME"),
		ValidArgsFunction: c.completer(c.calendarNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				answer, err := s.schedules.DeleteCalendar(cmd.Context(), &tminusv1.DeleteCalendarRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return c.format.print(cmd, answer, func(w io.Writer) { line(w, "%s is deleted", args[0]) })
			})
		},
	}
}
