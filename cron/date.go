package cron

const (
	minuteSeconds = 60
	hourMinutes   = 60
	dayMinutes    = 24 * hourMinutes
	daySeconds    = dayMinutes * minuteSeconds
	yearSeconds   = 365 * daySeconds // and another day in leap years
	weekDays      = 7

	// cycleYears is the length of the Gregorian cycle: 146097 days, whole weeks.
	cycleYears   = 400
	cycleDays    = 146097
	cycleSeconds = cycleDays * daySeconds
	// epochDays are those from 0000-03-01 to 1970-01-01.
	epochDays = 719468
)

// weekdayOf returns the weekday of a day counted from 1970-01-01, which was a Thursday. Sunday is 0.
func weekdayOf(day uint32) uint32 { return (day + 4) % weekDays }

// civil returns the date of a day counted from 1970-01-01. It is the algorithm of Neri and Schneider ("Euclidean affine functions
// and their application to calendar algorithms", 2022), which divides by multiplying.
func civil(day uint32) (year, month, date uint32) {
	n := 4*(day+epochDays) + 3
	century := n / cycleDays
	inCentury := n%cycleDays | 3
	product := 2939745 * uint64(inCentury)
	yearOfCentury := uint32(product >> 32)
	dayOfYear := uint32(product) / 2939745 / 4 // from March 1
	scaled := 2141*dayOfYear + 197913
	year, month, date = 100*century+yearOfCentury, scaled>>16, scaled&0xffff/2141+1
	if dayOfYear >= 306 { // January or February, of the next year
		year++
		month -= 12
	}
	return year, month, date
}

// dayNumber returns the days from 1970-01-01 to a date in 1970 or later.
func dayNumber(year, month, date uint32) uint32 {
	if month <= 2 { // years count from March, so that the leap day comes last
		year--
		month += 12
	}
	century := year / 100
	return 1461*year/4 - century + century/4 + (979*month-2919)>>5 + date - 1 - epochDays
}

// daysIn returns the length of a month.
func daysIn(year, month uint32) uint32 {
	if month == 2 {
		if isLeap(year) {
			return 29
		}
		return 28
	}
	return 30 | (month ^ month>>3)
}

func isLeap(year uint32) bool { return year%4 == 0 && (year%100 != 0 || year%cycleYears == 0) }

// yearTypes is how many kinds of years there are: each begins on one of seven weekdays, and is a leap year or not.
// In two years of one kind, the same days of the same months have the same weekdays.
const yearTypes = 14

// yearType returns the kind of a year, below yearTypes.
func yearType(year uint32) uint32 {
	kind := weekdayOf(dayNumber(year, 1, 1))
	if isLeap(year) {
		kind += weekDays
	}
	return kind
}
