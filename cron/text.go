package cron

import "errors"

// MarshalText returns what [Schedule.String] does, for JSON and the like. The zero Schedule has the empty text.
//
// The error is about what [Schedule.UnmarshalText] could not make an equal schedule of: combinations, anchors, rules for gaps and repeats that
// are not the default, and zones that the text does not hold. These are those of AWS cron, of rate(…) and of at(…), and any
// that is not in the IANA database under its name.
func (s Schedule) MarshalText() ([]byte, error) {
	text := s.String()
	if s.Equal(Schedule{}) {
		return []byte(text), nil
	}
	if again, err := Parse(text); err == nil && again.Equal(s) && s.Location().String() != "Local" {
		return []byte(text), nil
	}
	reason := "its zone " + s.Location().String()
	switch standard := s.WithRepeat(RepeatDefault); {
	case s.set != nil:
		reason = "that it is a combination"
	case s.period > 0 && s.anchor != 0:
		reason = "its anchor"
	case s.pattern.gap == GapNext:
		reason = "its rule for gaps"
	case s.pattern.repeat != standard.pattern.repeat:
		reason = "its rule for repeats"
	}
	return nil, errors.New("cron: the text of " + quote(text, 120) + " does not say " + reason)
}

// UnmarshalText sets s to what [Parse] makes of a text, or to the zero Schedule if it is empty.
//
// The error is a *[SyntaxError].
func (s *Schedule) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Schedule{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
