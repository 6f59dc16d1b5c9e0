// Package bench measures tminus.dev/cron beside other libraries for Go that evaluate cron expressions, and tells which of
// them answer correctly. It is a module of its own, so that tminus does not depend on any of them.
package bench

import (
	"math/rand/v2"
	"time"
)

// A Case is one schedule, in the syntax of each library. An empty text means that the library cannot express it.
type Case struct {
	Name        string // for the name of a benchmark: no blanks, no slashes
	Tminus      string
	Robfig      string
	Cronexpr    string // for gorhill, hashicorp and gronx
	Netresearch string
	Quartz      string // seconds first, and 1 is Sunday
}

// Cases are the schedules that are measured.
var Cases = []Case{
	{"every-minute", "* * * * *", "* * * * *", "* * * * *", "* * * * *", "0 * * * * ?"},
	{"daily-10", "0 10 * * *", "0 10 * * *", "0 10 * * *", "0 10 * * *", "0 0 10 * * ?"},
	{"workdays-5min", "*/5 9-17 * * MON-FRI", "*/5 9-17 * * MON-FRI", "*/5 9-17 * * MON-FRI", "*/5 9-17 * * MON-FRI", "0 */5 9-17 ? * MON-FRI"},
	{"feb-29", "0 0 29 2 *", "0 0 29 2 *", "0 0 29 2 *", "0 0 29 2 *", "0 0 0 29 2 ?"},
	{"last-day", "0 10 L * ? *", "", "0 10 L * *", "0 10 L * *", "0 0 10 L * ?"},
	{"third-friday", "0 10 ? * 6#3 *", "", "0 10 * * 5#3", "0 10 * * FRI#3", "0 0 10 ? * 6#3"},
	{"last-friday-years", "15 10 ? * 6L 2020-2045", "", "15 10 * * 5L 2020-2045", "15 10 * * FRI#L 2020-2045", "0 15 10 ? * 6L 2020-2045"},
	{"nearest-weekday", "0 10 15W * ? *", "", "0 10 15W * *", "0 10 15W * *", "0 0 10 15W * ?"},
}

// A Zone is where schedules are evaluated.
type Zone struct {
	Name     string // for the name of a benchmark, which cannot hold the slash of America/New_York
	Location string
}

// Zones are those that are measured.
var Zones = []Zone{{"UTC", "UTC"}, {"New_York", "America/New_York"}}

// Starts returns the instants that searches begin at. They are random, as processors learn the way from slot to slot, and the
// same each time; all are in the twenty years from 2020 on.
func Starts(loc *time.Location) []time.Time {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Nothing is secret here.
	starts := make([]time.Time, 4096)
	for i := range starts {
		starts[i] = time.Unix(1577836800+random.Int64N(20*365*86400), 0).In(loc)
	}
	return starts
}
