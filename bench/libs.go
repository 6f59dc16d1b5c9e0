package bench

import (
	"time"

	"github.com/adhocore/gronx"
	gorhill "github.com/gorhill/cronexpr"
	hashicorp "github.com/hashicorp/cronexpr"
	netresearch "github.com/netresearch/go-cron"
	"github.com/reugn/go-quartz/quartz"
	robfig "github.com/robfig/cron/v3"

	"tminus.dev/cron"
)

// A Lib is a library that evaluates cron expressions.
type Lib struct {
	Name string
	// Expr returns a case in the library's syntax.
	Expr func(Case) string
	// Parse parses an expression. It is nil for gronx, which keeps no parsed form: it reads the text whenever it is asked.
	Parse func(expr string) error
	// Next returns what answers for an expression in a zone: it is given instants in that zone, and returns the next slot there, or
	// the zero Time.
	Next func(expr string, loc *time.Location) (func(time.Time) time.Time, error)
}

// Libs are tminus and its peers.
var Libs = []Lib{
	{
		Name:  "tminus",
		Expr:  func(c Case) string { return c.Tminus },
		Parse: func(expr string) error { _, err := cron.Parse(expr); return err },
		Next: func(expr string, loc *time.Location) (func(time.Time) time.Time, error) {
			s, err := cron.Parse(expr)
			s = s.In(loc)
			return func(t time.Time) time.Time { return s.Next(t) }, err
		},
	},
	{
		Name:  "robfig",
		Expr:  func(c Case) string { return c.Robfig },
		Parse: func(expr string) error { _, err := robfig.ParseStandard(expr); return err },
		// Without a zone in its text, a schedule of robfig's, and of its fork netresearch's, has that of the start.
		Next: func(expr string, _ *time.Location) (func(time.Time) time.Time, error) {
			s, err := robfig.ParseStandard(expr)
			return func(t time.Time) time.Time { return s.Next(t) }, err
		},
	},
	{
		Name:  "gorhill",
		Expr:  func(c Case) string { return c.Cronexpr },
		Parse: func(expr string) error { _, err := gorhill.Parse(expr); return err },
		Next: func(expr string, _ *time.Location) (func(time.Time) time.Time, error) {
			s, err := gorhill.Parse(expr)
			return func(t time.Time) time.Time { return s.Next(t) }, err
		},
	},
	{
		Name:  "hashicorp",
		Expr:  func(c Case) string { return c.Cronexpr },
		Parse: func(expr string) error { _, err := hashicorp.Parse(expr); return err },
		Next: func(expr string, _ *time.Location) (func(time.Time) time.Time, error) {
			s, err := hashicorp.Parse(expr)
			return func(t time.Time) time.Time { return s.Next(t) }, err
		},
	},
	{
		Name: "gronx",
		Expr: func(c Case) string { return c.Cronexpr },
		Next: func(expr string, _ *time.Location) (func(time.Time) time.Time, error) {
			_, err := gronx.Segments(expr)
			return func(t time.Time) time.Time {
				next, err := gronx.NextTickAfter(expr, t, false)
				if err != nil {
					return time.Time{}
				}
				return next
			}, err
		},
	},
	{
		Name:  "quartz",
		Expr:  func(c Case) string { return c.Quartz },
		Parse: func(expr string) error { _, err := quartz.NewCronTrigger(expr); return err },
		Next: func(expr string, loc *time.Location) (func(time.Time) time.Time, error) {
			s, err := quartz.NewCronTriggerWithLoc(expr, loc)
			return func(t time.Time) time.Time {
				next, err := s.NextFireTime(t.UnixNano())
				if err != nil {
					return time.Time{}
				}
				return time.Unix(0, next).In(loc)
			}, err
		},
	},
	{
		Name:  "netresearch",
		Expr:  func(c Case) string { return c.Netresearch },
		Parse: func(expr string) error { _, err := netresearchParser.Parse(expr); return err },
		Next: func(expr string, _ *time.Location) (func(time.Time) time.Time, error) {
			s, err := netresearchParser.Parse(expr)
			return func(t time.Time) time.Time { return s.Next(t) }, err
		},
	},
}

// netresearchParser takes years, and what AWS's syntax has besides.
var netresearchParser = netresearch.MustNewParser(netresearch.Minute | netresearch.Hour | netresearch.Dom | netresearch.Month |
	netresearch.Dow | netresearch.YearOptional | netresearch.Extended)
