package flyte

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tminus.dev/cron"
	"tminus.dev/gen/flyteidl/admin"
)

var (
	errNoSchedule = errors.New("it has no schedule")
	errAWS        = errors.New("it is AWS cron")
	errBareAlias  = errors.New("it is a bare name, where Flyte's cron library wants an @")
)

// native reads a schedule as Flyte's own scheduler does (flyteadmin,
// scheduler/core/gocron_scheduler.go). An error says why it, or the registration,
// refuses what tminus would take. A rate, and @every, have to be given an anchor:
// there they count from the activation, or a restart.
func native(s *admin.Schedule) (cron.Schedule, error) {
	expression := s.GetCronExpression() // It goes before the others (launch_plan_validator.go).
	if expression == "" && s.GetRate() == nil {
		expression = s.GetCronSchedule().GetSchedule()
	}
	if expression != "" {
		if words := strings.Fields(expression); len(words) == 1 && !strings.HasPrefix(words[0], "@") {
			return cron.Schedule{}, errBareAlias
		}
		read, err := cron.ParseUnix(expression)
		if _, e := cron.ParseAWS(expression); err != nil && e == nil {
			err = errAWS
		}
		return read, err
	}
	if s.GetRate() == nil {
		return cron.Schedule{}, errNoSchedule
	}
	unit := map[admin.FixedRateUnit]time.Duration{
		admin.FixedRateUnit_MINUTE: time.Minute, admin.FixedRateUnit_HOUR: time.Hour, admin.FixedRateUnit_DAY: 24 * time.Hour,
	}[s.GetRate().GetUnit()]
	if unit == 0 {
		return cron.Schedule{}, fmt.Errorf("the rate's unit %d is unknown", s.GetRate().GetUnit())
	}
	return cron.Every(time.Duration(s.GetRate().GetValue()) * unit)
}
