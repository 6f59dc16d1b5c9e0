package bench

import "slices"

// A Mistake is a schedule for which a library does not find the right slots.
type Mistake struct {
	Lib, Case, Zone string
	What            string
}

// Mistakes are all there are, at the versions in go.mod. A test keeps the list true: it fails if a library has become wrong, or
// right, from any of its starts. Libraries differ about a time that the wall clock shows twice, and either way is right.
var Mistakes = []Mistake{
	{"gorhill", "every-minute", "New_York", "goes back an hour, to before the start, when clocks are about to be set forward and once they were set back"},
	{"quartz", "every-minute", "New_York", "says that there is no slot any more, at the same times"},
	{"quartz", "feb-29", "UTC", "fires on the first of March in other years than leap years"},
	{"quartz", "feb-29", "New_York", "likewise"},
	{"quartz", "nearest-weekday", "UTC", "misses a slot on the 14th or 16th, for a 15th on a weekend, if the search starts on that day"},
	{"quartz", "nearest-weekday", "New_York", "likewise"},
}

// Right reports whether a library finds the right slots of a case in a zone.
func Right(lib, name, zone string) bool {
	return !slices.ContainsFunc(Mistakes, func(m Mistake) bool { return m.Lib == lib && m.Case == name && m.Zone == zone })
}
