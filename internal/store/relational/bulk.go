package relational

import "strings"

// Bulk is a statement that runs for many rows at once. It finds them in a table
// v, whose columns are those of the statement.
type Bulk struct {
	Columns []Column
	// Returning says that rows come of it.
	Returning bool
	// Lock is a table of which the rows that it finds are locked until the
	// transaction has ended, where there are locks; empty means none.
	Lock string
	text string
}

// Column is a column of the rows of a Bulk.
type Column struct {
	Name string
	Type Type
}

// Type is the type of a Column. Each can be nil as well.
type Type int

// The types, with those of the arguments in Go.
const (
	Int   Type = iota // int64
	Text              // string
	Bytes             // []byte
)

// Text is the statement, with rows as the query for v's: a VALUES clause, for one.
func (s *Bulk) Text(rows string) string {
	return "WITH v (" + namesOf(s.Columns) + ") AS (" + rows + ") " + s.text
}

func namesOf(columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// columns are columns of one type, whose names are separated by commas.
func columns(t Type, names string) []Column {
	var all []Column
	for name := range strings.SplitSeq(names, ",") {
		all = append(all, Column{strings.TrimSpace(name), t})
	}
	return all
}

// Bulks are all the statements of this package that run in bulk.
func Bulks() []*Bulk {
	return []*Bulk{insertFirings, moveSchedules, claimFirings, settleFirings, attestFirings, reviveFirings, fillFirings, insertBacklogs, moveBacklogs, insertExecutions, settleElsewhere, namedSchedules, ownFirings, thoseFirings, anchorSchedules, settleRules, insertLetters, putAlerts, dropAlerts, insertMessages, namedPlans}
}

// Values are parameters for so many rows, as they stand after VALUES or IN.
func Values(rows, columns int) string {
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	return row + strings.Repeat(","+row, rows-1)
}

// arguments are those of Values for IDs.
func arguments(ids []int64) []any {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return args
}
